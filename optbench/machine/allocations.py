"""What a piece of work allocates in the memory of the CPU, as torch's allocator sees it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

_PROFILER = "KINETO_LOG_LEVEL"
#: The level of torch's C++ log at which it writes errors, and no warnings.
_ERRORS = 2


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
    """Keeps the log lines of the profiler, and of an allocator that it watches, from the user's terminal.

    By their own levels and not by closing stderr: a library that ends the process in between has to be heard. The
    profiler reads its level once, from the environment, when a process first uses it.
    """
    environment, level = os.environ.get(_PROFILER), _log_level()
    before = level.value
    os.environ.setdefault(_PROFILER, "99")  # above all that it knows
    level.value = max(before, _ERRORS)
    try:
        yield
    finally:
        level.value = before
        if environment is None:
            os.environ.pop(_PROFILER, None)


def _log_level() -> ctypes.c_int:
    """Torch's own variable, which has no name in Python; where there is none, one that means nothing."""
    for library in (Path(torch.__file__).parent / "lib").glob("*c10.*"):
        with suppress(OSError, ValueError):
            return ctypes.c_int.in_dll(ctypes.CDLL(str(library)), "FLAGS_caffe2_log_level")
    return ctypes.c_int()
