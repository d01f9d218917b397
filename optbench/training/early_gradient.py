"""Finds optimizers that read the gradient of a batch before they call their closure.

Published two-pass methods such as SAM expect it in `p.grad` when `step(closure)` begins. L-BFGS and others call the
closure first, and would pay for a gradient that they never read. So `p.grad` contains a placeholder in the first step
of a cell: if it is read, the gradient is computed before every step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: What does not depend on the values of a gradient.
_METADATA = {
    getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "is_cuda", "is_mps", "ndim", "grad_fn")
} | {Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.is_complex, Tensor.__len__}
#: What `zero_grad(set_to_none=False)` does, after which nothing of the gradient is left to read.
_ZEROING = {Tensor.zero_, Tensor.detach_, Tensor.requires_grad_, torch._foreach_zero_}


class GradientReadEarly(RuntimeError):
    """Raised in a step that reads `p.grad` before it calls its closure."""

    def __init__(self) -> None:
        super().__init__("the optimizer reads p.grad before it calls its closure, but did not do so in its first step")


class Placeholder(Tensor):
    """Lies in `p.grad` in place of a gradient; any operation that depends on its values raises GradientReadEarly."""

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        if function in _ZEROING:
            return arguments[0]
        if function not in _METADATA:
            raise GradientReadEarly
        with torch._C.DisableTorchFunctionSubclass():
            return function(*arguments, **(options or {}))


def place(parameters: Iterable[nn.Parameter]) -> None:
    """Puts a placeholder in `grad` of each parameter."""
    for parameter in parameters:
        # Takes no memory. If an operation bypasses the class, NaN spreads and the training diverges.
        unknown = torch.full((), torch.nan, dtype=parameter.dtype, device=parameter.device).expand(parameter.shape)
        parameter.grad = unknown.as_subclass(Placeholder)


def remove(parameters: Iterable[nn.Parameter]) -> None:
    """Leaves no placeholder in `grad` of the parameters."""
    for parameter in parameters:
        if isinstance(parameter.grad, Placeholder):
            parameter.grad = None
