"""Exact counters of a piece of work, which are the same in every call and on every machine of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from optbench.budget import Ledger
from optbench.machine.allocations import memory_changes


class _OperationCounter(TorchDispatchMode):
    """A context that counts every operation that reaches a kernel, including those of backward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


def operations(work: Callable[[], Any]) -> int:
    """The number of torch operations that the work calls."""
    with _OperationCounter() as counter:
        work()
    return counter.operations


def counters(work: Callable[[], Any], device: str, ledger: Ledger) -> dict[str, int]:
    """The counters of one call of the work.

    These are the operations of torch, the forward and backward passes that the ledger was charged, and the bytes
    allocated (on a CPU) or the kernels launched (on a CUDA device). Each kind is counted in a separate call.
    """
    forwards, backwards = ledger.forwards, ledger.backwards
    counts = {"operations": operations(work)}
    counts["forwards"], counts["backwards"] = ledger.forwards - forwards, ledger.backwards - backwards
    if device == "cpu":
        counts["bytes_allocated"] = sum(change for change in memory_changes(work) if change > 0)
    elif device.startswith("cuda"):
        counts["kernel_launches"] = _launches(work)
    return counts


def _launches(work: Callable[[], Any]) -> int:
    work()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    return sum("LaunchKernel" in event.name for event in profile.events() or ())
