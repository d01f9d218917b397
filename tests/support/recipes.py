"""Optimizers with all that a recipe tunes: weight decay, momentum, schedule, clipping and averaging, each searched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import optbench
from optbench.optimizers.search_space import Range

_HERE = Path(__file__).resolve()
SCHEDULE = {"lr_schedule": "wsd", "lr_warmup": 0.05, "lr_cooldown": 0.5}
SEARCH: dict[str, Any] = {
    "lr": Range(1e-3, 1.0),
    "weight_decay": Range(1e-4, 1e-1, zero=True),
    "lr_warmup": Range(0.0, 0.2, log=False),
    "lr_cooldown": Range(0.1, 0.8, log=False),
}


@optbench.optimizer(
    arguments={**SCHEDULE, "average_share": 0.5},
    search={**SEARCH, "clip_norm": Range(0.1, 10.0), "momentum": Range(0.5, 0.99, log=False)},
)
class Momentum(torch.optim.SGD):
    """Clipped by the norm, and averaged over a share of the run."""

    def __init__(self, params: Any, lr: float = 0.03, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)


@optbench.optimizer(arguments=SCHEDULE, search={**SEARCH, "average_decay": [0.0, 0.9], "beta1": Range(0.5, 0.99)})
class AdamW(torch.optim.AdamW):
    """Clipped by value, with an exponential average that tuning chooses."""

    def __init__(
        self, params: Any, lr: float = 0.01, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay)


@optbench.optimizer(arguments=SCHEDULE, search={"lr": Range(1e-2, 1.0), "lr_warmup": SEARCH["lr_warmup"]})
class LBFGS(torch.optim.LBFGS):
    """Several gradients in a step, with a schedule."""

    def __init__(self, params: Any, lr: float = 0.3, max_iter: int = 3) -> None:
        super().__init__(params, lr=lr, max_iter=max_iter)


#: Selections of the optimizers of this file; AdamW's gradients are clipped too.
RECIPES = (f"{_HERE}:Momentum", f"{_HERE}:AdamW[clip_value=0.5]", f"{_HERE}:LBFGS")
