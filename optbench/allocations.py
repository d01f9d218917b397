"""What a piece of work allocates in the memory of the CPU, as torch's allocator sees it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


def memory_changes(work: Callable[[], Any]) -> list[int]:
    """Bytes that each allocation takes (positive) and gives back (negative), in the order of time."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _stderr_closed(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        work()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Keeps the profiler's own log lines, which are written past Python, from the user's terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
