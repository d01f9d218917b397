"""Initialises the weights of convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

INITIALISATIONS = ("default", "normal", "glorot", "he")


def initialise(model: nn.Module, name: str) -> None:
    """Initialise all weights of a model from torch's global generator, and set biases to 0.

    Args:
        model: The model.
        name: The initialisation:
            `default` keeps torch's initial weights and biases (uniform within ±1/√fan-in).
            `normal` is normal with standard deviation 1, whatever the size of the layer.
            `glorot` is uniform with variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010, equation 16).
            `he` is normal with variance 2 / fan-in (He et al. 2015, "Delving deep into rectifiers", equation 10).
    """
    if name == "default":
        return
    from torch import nn

    draw: dict[str, Callable[[Tensor], Tensor]] = {
        "normal": nn.init.normal_,
        "glorot": nn.init.xavier_uniform_,
        "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    }
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            draw[name](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
