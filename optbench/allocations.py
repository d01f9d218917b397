"""What a piece of work allocates in the memory of the CPU, as torch's allocator sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_LOG_LEVEL = "KINETO_LOG_LEVEL"


def memory_changes(work: Callable[[], Any]) -> list[int]:
    """Bytes that each allocation takes (positive) and gives back (negative), in the order of time."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _quiet(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        work()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the profiler's own log lines from the user's terminal.

    The profiler reads its level of logging once, when a process first uses it. Nothing else is kept from stderr: the
    last words of a library that ends the process in between have to be seen.
    """
    before = os.environ.get(_LOG_LEVEL)
    os.environ.setdefault(_LOG_LEVEL, "99")  # above all that it knows
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_LOG_LEVEL, None)
