"""Explains a loss that combines predictions of shape (N, 1) with targets of shape (N,)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Watch(TorchFunctionMode):
    """Notes the first operation on tensors of shapes (N, 1) and (N,) whose result is N × N or a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, ...]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        shapes = [tuple(part.shape) for part in args[:2] if isinstance(part, Tensor)]
        if not self.found and len(shapes) == 2 and isinstance(result, Tensor):
            short, long = sorted(shapes, key=len)
            count = short[0] if short else 0
            if count > 1 and (short, long) == ((count,), (count, 1)) and result.numel() in (1, count * count):
                self.found = shapes
        return result


def explain_broadcast(action: Callable[[], object]) -> tuple[str, str]:
    """Return why a loss or a metric is wrong, and the fix, if it compares every prediction with every target.

    Args:
        action: Computes it.

    Returns:
        The reason and the fix; two empty texts if that is not the cause.
    """
    with _Watch() as watch:
        action()
    if not watch.found:
        return "", ""
    one, other = watch.found
    count = one[0]
    return (
        f"the loss or metric combines shapes {one} and {other}, which broadcast to {(count, count)}: every prediction "
        "is compared with every target",
        "give both the same shape, for example model(x).squeeze(1)",
    )
