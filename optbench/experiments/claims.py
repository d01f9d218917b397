"""The experiments by name, each with the claim that it tests; a module is imported when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from optbench import selection
from optbench.errors import UserError, unknown

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from optbench.experiments.experiment import Experiment

#: `NAME` is the `EXPERIMENT` of the module of that name, with underscores for dashes.
CLAIMS: Mapping[str, str] = {
    "batch-speedup": "A product with a whole batch is faster than a loop over its samples.",
    "sum-or-mean": "With the gradient summed over the batch the usable rate shrinks as the batch grows; "
    "with its mean it does not.",
    "redundancy": "On M samples, each there K times, visiting M of them at K times the rate is the full sum "
    "at a K-th of its cost.",
    "sampling-order": "Visiting shuffled samples without replacement is at least as good as visiting them in "
    "their order or drawing them with replacement.",
    "gradient-descent-limits": "In a narrow valley gradient descent diverges above the rate 2/L, and crawls "
    "along the valley below it.",
    "momentum": "Momentum goes through local barriers, is 1/(1 − γ) times as fast on a constant gradient, and "
    "damps the oscillation in a narrow valley.",
    "adam": "Adam's path does not depend on the scale of each coordinate's gradient, where SGD's does; its bias "
    "correction makes the first step as long as the rate says.",
    "family": "At equal cost second order wins on smooth functions without noise, and is rarely at an "
    "advantage on networks.",
    "parameter-groups": "A rate and a momentum for each layer, tuned, reach a lower loss than one for all "
    "at the same tuning budget.",
    "full-example": "Ten epochs of SGD in batches of 100 train the lecture's network on MNIST; tuning "
    "the learning rate "
    "improves it.",
    "batch-size": "Mini-batches reduce the loss further than the whole set for the same examples, and "
    "further than single "
    "examples for the same time.",
    "initialisation": "PyTorch's default initialisation is scaled by the size of the layer, so that signals keep their "
    "size, where unscaled weights blow them up and train worse.",
    "dropout": "Dropout leaves the mean of activations as it is by the factor 1/(1 − p), does nothing in "
    "evaluation mode, "
    "and narrows the gap between training and test.",
    "batch-norm": "With batch normalisation larger rates can be used and fewer steps lead to the same "
    "accuracy, dropout is "
    "needed less, and shuffling matters.",
    "residual": "Plain networks get worse with depth, residual ones better; they start around the identity.",
    "data-loading": "A DataLoader is needed for sets that don't fit into memory, and inefficient for those that do.",
    "frozen-features": "Pretrained features of the first layer, frozen for half of the epochs and then "
    "trained with the "
    "rest, lower the test error.",
}  # fmt: skip


def select_experiment(text: str) -> Experiment:
    """The experiment that `NAME[parameter=value,…]` selects, with these parameters in place of its own.

    Raises UserError for an unknown name or parameter, and for a value of another type than the one it replaces.
    """
    chosen = selection.parse(text)
    if len(chosen) != 1:
        raise UserError(f"experiment {text!r} sweeps; give each by itself (a tuple is written in parentheses)")
    name = chosen[0].name
    if name not in CLAIMS:
        raise unknown("experiment", name, CLAIMS)
    found: Experiment = import_module(f"optbench.experiments.{name.replace('-', '_')}").EXPERIMENT
    return found.changed(dict(chosen[0].parameters))
