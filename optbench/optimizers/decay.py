"""Weight decay per step: a hyperparameter of the decay that does not depend on the learning rate.

In torch, decoupled decay and that of SGD shrink weights by lr · weight_decay per step, so the best `weight_decay` is
another one for each learning rate. The product is the decay per step (Loshchilov and Hutter 2019, equation 12;
Wortsman et al. 2023, section 3.2.2, who call it independent). A schedule multiplies both: the product is that of the
peak rate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from optbench.errors import UserError

#: The hyperparameter that optbench adds to optimizers with learning rate and weight decay, and the one that it sets.
DECAY_PER_STEP, WEIGHT_DECAY = "decay_per_step", "weight_decay"
_OTHER = {DECAY_PER_STEP: WEIGHT_DECAY, WEIGHT_DECAY: DECAY_PER_STEP}


def keep_one_decay(owner: str, given: Collection[str], inherited: Mapping[str, Any]) -> dict[str, Any]:
    """Return inherited values without the kind of decay that the given ones replace.

    Args:
        owner: The optimizer, for error messages.
        given: Names of the hyperparameters that are fixed or searched.
        inherited: Values or search spaces by hyperparameter.

    Raises:
        UserError: If both kinds are given.

    >>> keep_one_decay("adamw", ["decay_per_step"], {"weight_decay": 0.1, "eps": 1e-8})
    {'eps': 1e-08}
    """
    if _OTHER.keys() <= {*given}:
        raise UserError(
            f"{owner} has both {WEIGHT_DECAY} and {DECAY_PER_STEP}, which sets it by the learning rate (accepted: one)"
        )
    dropped = {_OTHER[name] for name in given if name in _OTHER}
    return {name: value for name, value in inherited.items() if name not in dropped}


def set_weight_decay(values: Mapping[str, Any], lr: float) -> dict[str, Any]:
    """Return values with the weight decay that the class receives in the place of the decay per step.

    weight_decay = decay_per_step/lr

    Args:
        values: Values by hyperparameter.
        lr: The learning rate, before a schedule multiplies it.

    >>> set_weight_decay({"decay_per_step": 1e-4}, 0.001)
    {'weight_decay': 0.1}
    """
    if DECAY_PER_STEP not in values:
        return dict(values)
    others = {name: value for name, value in values.items() if name != DECAY_PER_STEP}
    return others | {WEIGHT_DECAY: values[DECAY_PER_STEP] / lr}
