"""The experiments by name, each with the claim that it tests; their modules are imported when needed."""

from __future__ import annotations

from collections.abc import Mapping

#: The claims by name. The experiment `NAME` is `EXPERIMENT` in the module of that name, with underscores for dashes.
CLAIMS: Mapping[str, str] = {
    "batch-speedup": "A product with a whole batch is faster than a loop over its samples.",
    "sum-or-mean": (
        "If the gradient is summed over the batch, the usable learning rate shrinks as the batch grows; if it is "
        "averaged, it does not."
    ),
    "redundancy": (
        "If a set contains each of M samples K times, visiting the M samples once at K times the learning rate does "
        "the same as the full sum at a K-th of its cost."
    ),
    "sampling-order": (
        "Shuffling the samples and visiting them without replacement is at least as good as visiting them in their "
        "original order or drawing them with replacement."
    ),
    "gradient-descent-limits": (
        "In a narrow valley, gradient descent diverges at learning rates above 2/L, and below 2/L it makes slow "
        "progress along the valley."
    ),
    "momentum": (
        "Momentum passes local barriers, is 1/(1 − γ) times as fast on a constant gradient, and damps the oscillation "
        "in a narrow valley."
    ),
    "adam": (
        "Unlike that of SGD, Adam's path does not depend on the scale of each coordinate's gradient; its bias "
        "correction makes the first step as long as the learning rate."
    ),
    "family": ("At equal cost, second-order methods win on smooth functions without noise, but rarely on networks."),
    "parameter-groups": (
        "At the same tuning budget, a tuned learning rate and momentum for each layer reach a lower loss than one "
        "tuned learning rate and momentum for all layers."
    ),
    "full-example": (
        "Ten epochs of SGD with batches of 100 train the lecture's network on MNIST; tuning the learning rate improves "
        "the result."
    ),
    "batch-size": (
        "Mini-batches reduce the loss more than the whole set for the same number of examples, and more than single "
        "examples in the same time."
    ),
    "initialisation": (
        "PyTorch's default initialisation is scaled by the size of the layer, so that signals keep their size; "
        "unscaled weights amplify them and train worse."
    ),
    "dropout": (
        "With its factor 1/(1 − p), dropout preserves the mean of the activations; it does nothing in evaluation mode "
        "and reduces the gap between training and test loss."
    ),
    "batch-norm": (
        "Batch normalisation allows larger learning rates and reaches the same accuracy in fewer steps; dropout "
        "becomes less useful, and shuffling matters."
    ),
    "residual": (
        "Plain networks get worse with depth and residual networks get better; residual blocks start close to the "
        "identity."
    ),
    "data-loading": (
        "A DataLoader is needed for data sets that do not fit into memory, and inefficient for those that do."
    ),
    "frozen-features": (
        "Pretrained features in the first layer, frozen for half of the epochs and then trained with the other layers, "
        "lower the test error."
    ),
}
