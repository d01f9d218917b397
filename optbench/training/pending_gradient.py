"""Gradients that are computed where an optimizer reads them before it calls its closure.

Published two-pass methods (SAM) expect the gradient of the present batch in `p.grad` when `step(closure)` begins;
L-BFGS and others call the closure first, and would pay for a gradient that they never read. So a placeholder lies in
`p.grad`: the first operation on one computes the gradients of all parameters, which is charged like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

#: What may be asked of a placeholder without computing it.
_METADATA = {
    getattr(Tensor, name).__get__
    for name in ("shape", "dtype", "device", "layout", "is_sparse", "is_cuda", "is_mps", "ndim", "requires_grad")
} | {Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.is_complex, Tensor.__len__}  # fmt: skip


class PendingGradient(Tensor):
    """The gradient of one parameter, not computed yet."""

    _parameter: nn.Parameter
    _compute: Callable[[], None]

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        options = options or {}
        if function not in _METADATA:
            arguments, options = tree_map(_computed, (arguments, options))
        with torch._C.DisableTorchFunctionSubclass():
            return function(*arguments, **options)


def place(parameters: Iterable[nn.Parameter], compute: Callable[[], None]) -> None:
    """Puts a placeholder in `grad` of each parameter; `compute` has to replace them by gradients, or None."""
    for parameter in parameters:
        # Values that are never seen, of no memory; should an operation pass the class by, they spread.
        unknown = torch.full((), torch.nan, dtype=parameter.dtype, device=parameter.device).expand(parameter.shape)
        pending = unknown.as_subclass(PendingGradient)
        pending._parameter, pending._compute = parameter, compute
        parameter.grad = pending


def remove(parameters: Iterable[nn.Parameter]) -> None:
    """Leaves no placeholder in `grad` of these parameters."""
    for parameter in parameters:
        if isinstance(parameter.grad, PendingGradient):
            parameter.grad = None


def _computed(value: Any) -> Any:
    if not isinstance(value, PendingGradient):
        return value
    parameter = value._parameter
    if isinstance(parameter.grad, PendingGradient):
        value._compute()
    if parameter.grad is None:  # the loss doesn't depend on it, which nobody knew before the first gradient
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
