"""Optimizers that keep something outside of their instances: what changes their steps, and what does not."""

from __future__ import annotations

from typing import Any

import torch

STEPS = [0]
INSTANCES: list[int] = []
NORMS: dict[tuple[int, ...], int] = {}


class _Descent(torch.optim.Optimizer):
    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})
        self.taken = 0

    def factor(self) -> float:
        return 1.0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.taken += 1
        factor = self.factor()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["lr"] * factor * p.grad)


class LateCounter(_Descent):
    """Slows down once the process has taken 200 steps, and then no further."""

    def factor(self) -> float:
        STEPS[0] += 1
        return 0.5 if STEPS[0] > 200 else 1.0


class LateInTraining(_Descent):
    """From step 20 of a training on, depends on how many instances there were: a few steps don't show it."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        INSTANCES.append(0)
        self.before = len(INSTANCES)

    def factor(self) -> float:
        return 1.0 / self.before if self.taken > 20 else 1.0


class Cached(_Descent):
    """Counts its steps, and keeps sizes that it has computed: no step depends on it."""

    def factor(self) -> float:
        STEPS[0] += 1
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"]]
        return float(sum(NORMS.setdefault(shape, len(shape)) for shape in shapes) > 0)


class Noisy(_Descent):
    """Draws from torch's generator, which optbench seeds."""

    def factor(self) -> float:
        return float(torch.rand(()))


class Exploding(_Descent):
    """Ends in NaN."""

    def factor(self) -> float:
        return 1e30


class ResetInConstructor(_Descent):
    """Counts its steps in the class, from zero in each constructor: another training may be in between."""

    steps = 0

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        ResetInConstructor.steps = 0

    def factor(self) -> float:
        ResetInConstructor.steps += 1
        return 1.0 / ResetInConstructor.steps
