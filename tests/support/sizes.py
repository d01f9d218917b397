"""Optimizers whose rule depends on the size of a tensor, and some whose rule does not."""

from __future__ import annotations

from typing import Any

import torch


class Large(torch.optim.Optimizer):
    """w ← w − lr g; tensors of at least `least` elements are normalised, from step `since` on."""

    def __init__(self, params: Any, lr: float = 0.1, least: int = 60, since: int = 0) -> None:
        super().__init__(params, {"lr": lr, "least": least, "since": since})
        self.taken = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.taken += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                large = p.numel() >= group["least"] and self.taken > group["since"]
                p.sub_(group["lr"] * (p.grad / (p.grad.norm() + 1e-12) if large else p.grad))


class Coarse(torch.optim.Optimizer):
    """Momentum whose buffer is rounded to a few levels, relative to its largest element, if it has 60 or more."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p)).mul_(0.9).add_(p.grad)
                if m.numel() >= 60:
                    level = m.abs().max() / 127 + 1e-30
                    m.copy_((m / level).round() * level)
                p.sub_(group["lr"] * m)


class Signs(torch.optim.Optimizer):
    """Lion (Chen et al. 2023) with decoupled weight decay: elementwise, although it looks at many elements at once."""

    def __init__(self, params: Any, lr: float = 1e-3, weight_decay: float = 0.1) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p.sub_(group["lr"] * (m.lerp(p.grad, 0.1).sign() + group["weight_decay"] * p))
                m.lerp_(p.grad, 0.01)


class Adam(torch.optim.Adam):
    """Adam under another name."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, lr=lr)
