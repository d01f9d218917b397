"""Adam without its bias correction, to be seen beside the original."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class UncorrectedAdam(torch.optim.Optimizer):
    """m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← w − η m / (√v + ε): Adam with m̂ = m and v̂ = v."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                m = state.setdefault("m", torch.zeros_like(parameter))
                v = state.setdefault("v", torch.zeros_like(parameter))
                m.lerp_(parameter.grad, 1 - first)
                v.lerp_(parameter.grad**2, 1 - second)
                parameter.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-group["lr"])
