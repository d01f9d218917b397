"""Optimizers that meet what optbench adds: arguments of the same names, averages of their own."""

from __future__ import annotations

from typing import Any

import torch

import optbench

CLIPPED = __file__


class HasClipNorm(torch.optim.SGD):
    """Has an argument of an added hyperparameter's name."""

    def __init__(self, params: Any, lr: float = 0.1, clip_norm: float = 3.0) -> None:
        super().__init__(params, lr=lr)
        self.defaults["own_clip_norm"] = clip_norm


@optbench.optimizer(arguments={"clip_norm": 1.0}, search={"clip_norm": (0.1, 10.0), "average_decay": [0, 0.9]})
class Declared(torch.optim.SGD):
    """Declares added hyperparameters by the decorator."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)


class HeirOfASGD(torch.optim.ASGD):
    """Averages as its base does."""


def made_by_function(params: Any, lr: float = 0.1) -> torch.optim.Optimizer:
    """Makes an optimizer that averages, which no signature shows."""
    return torch.optim.ASGD(params, lr=lr)
