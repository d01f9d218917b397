"""Sharpness-aware minimisation as one step of one closure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def sam(
    params: Iterable[Any], lr: float = 1e-2, rho: float = 0.05, momentum: float = 0.9, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """SAM of pytorch-optimizer around SGD with momentum; its step evaluates the closure at both places.

    The package wants the first gradient computed before the step; here the step asks for it.
    """
    from pytorch_optimizer import SAM

    class WholeStep(SAM):
        def step(self, closure: Any = None) -> Any:
            with torch.enable_grad():
                loss = closure()
            super().step(closure)
            return loss

    return WholeStep(params, torch.optim.SGD, rho=rho, lr=lr, momentum=momentum, weight_decay=weight_decay)
