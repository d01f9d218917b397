"""What a piece of work does that no clock is needed for: the same number each time, on each machine of a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from optbench.budget import Ledger
from optbench.machine.allocations import memory_changes


class _Counted(TorchDispatchMode):
    """A context in which every operation that reaches a kernel is counted, those of backward passes too."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


def operations(work: Callable[[], Any]) -> int:
    """Operations of torch that the work calls."""
    with _Counted() as counted:
        work()
    return counted.operations


def counters(work: Callable[[], Any], device: str, ledger: Ledger) -> dict[str, int]:
    """Of one call of the work each: torch's operations, the forward and backward passes that the ledger was charged
    meanwhile, and bytes allocated (on a CPU) or kernels launched (on a CUDA device).
    """
    forwards, backwards = ledger.forwards, ledger.backwards
    found = {"operations": operations(work)}
    found["forwards"], found["backwards"] = ledger.forwards - forwards, ledger.backwards - backwards
    if device == "cpu":
        found["bytes_allocated"] = sum(change for change in memory_changes(work) if change > 0)
    elif device.startswith("cuda"):
        found["kernel_launches"] = _launches(work)
    return found


def _launches(work: Callable[[], Any]) -> int:
    work()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    return sum("LaunchKernel" in event.name for event in profile.events() or ())
