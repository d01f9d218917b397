"""Charges the passes of autograd that an optimizer makes inside of its step."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from optbench.budget import Ledger


@contextmanager
def charged_passes(
    ledger: Ledger, examples: int, losses: Sequence[weakref.ref[Tensor]], refusal: str = ""
) -> Iterator[Callable[[], Any]]:
    """Charges every pass of autograd that the optimizer makes itself.

    A pass through one of the losses costs 2/3 per example. Any other pass is taken for a product with the Hessian,
    which differentiates a gradient and costs 2 per example. All of torch's functions for gradients (`Tensor.backward`,
    `torch.autograd.grad`, `torch.func`) call one engine, whose calls are counted; one with `is_grads_batched` is a
    single call.

    Args:
        ledger: The ledger that is charged.
        examples: Number of examples in the batch.
        losses: The losses that the closure has returned. They are not kept alive, because their graphs are large.
        refusal: The message of the RuntimeError that a pass through one of the losses raises; "" if it is allowed.

    Yields:
        A function that makes a context in which nothing is charged.
    """
    engine = torch.autograd.graph._engine_run_backward
    paused = 0

    def counted(outputs: Any, *arguments: Any, **options: Any) -> Any:
        if not paused:
            roots = outputs if isinstance(outputs, (list, tuple)) else (outputs,)
            if any(root is loss() for root in roots for loss in losses):
                if refusal:
                    raise RuntimeError(refusal)
                ledger.charge_backward(examples)
            else:
                ledger.charge_second_backward(examples)
        return engine(outputs, *arguments, **options)

    @contextmanager
    def unpaid() -> Iterator[None]:
        nonlocal paused
        paused += 1
        try:
            yield
        finally:
            paused -= 1

    places = [torch.autograd, torch.autograd.graph, torch._tensor]
    held = [place for place in places if getattr(place, "_engine_run_backward", None) is engine]
    for place in held:
        place._engine_run_backward = counted  # type: ignore[attr-defined]
    try:
        yield unpaid
    finally:
        for place in held:
            place._engine_run_backward = engine  # type: ignore[attr-defined]
