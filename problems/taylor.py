"""A network of one variable that computes its derivatives with respect to that variable along with its value."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class TanhNetwork(nn.Module):
    """A network from one number to one number with `layers` hidden layers of `hidden` tanh units, in float64."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        widths = [1, *[hidden] * layers, 1]
        self.layers = nn.ModuleList(
            nn.Linear(before, after, dtype=torch.float64) for before, after in itertools.pairwise(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return u(x), (N,), for points x, (N,)."""
        return self.derivatives(x)[0]

    def derivatives(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return u, u′ and u″ at points x, (N,) each.

        The derivatives are propagated forward, layer by layer, as the first coefficients of a Taylor series (Griewank
        and Walther 2008, Evaluating Derivatives, chapter 13). Reverse-mode differentiation, applied twice, gives the
        same result but does not work when gradients are disabled, as in evaluation. Nested `torch.func.jvp` takes four
        times as long.
        """
        value = x[:, None]
        first, second = torch.ones_like(value), torch.zeros_like(value)
        layer: nn.Linear
        for index, layer in enumerate(self.layers):  # type: ignore[assignment]
            if index:
                value = value.tanh()
                slope = 1 - value.square()  # tanh′, and tanh″ = −2 tanh tanh′
                second = slope * (second - 2 * value * first.square())
                first = slope * first
            value = layer(value)
            first, second = first @ layer.weight.T, second @ layer.weight.T
        return value[:, 0], first[:, 0], second[:, 0]
