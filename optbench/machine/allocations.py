"""Measures the CPU memory that a piece of work allocates through torch's allocator."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

_PROFILER = "KINETO_LOG_LEVEL"
_ACTIVITIES = [torch.profiler.ProfilerActivity.CPU]
_STDERR = 2
#: Level of torch's C++ log at which it prints errors but not warnings.
_ERRORS = 2


def memory_changes(work: Callable[[], Any]) -> list[int]:
    """Run `work` and return its memory changes in bytes, in chronological order.

    Allocations are positive, deallocations negative; the running sum is the memory in use.
    """
    with _suppress_logs():
        if threading.current_thread() is not threading.main_thread():
            _start_profiler()
        with torch.profiler.profile(activities=_ACTIVITIES, profile_memory=True) as profile:
            work()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


@cache
def _start_profiler() -> None:
    """Start the profiler with nothing to do, without a message that it prints on its first use in a process.

    It calls it an error that torch was imported by another thread, which only matters for its daemon. No log level
    applies to this line. Everything else that is written to stderr until then is passed on.
    """
    with suppress(OSError), TemporaryFile() as file:
        stderr = os.dup(_STDERR)
        try:
            os.dup2(file.fileno(), _STDERR)
            with torch.profiler.profile(activities=_ACTIVITIES):
                pass
        finally:
            os.dup2(stderr, _STDERR)
            os.close(stderr)
            file.seek(0)
            for line in file:
                if b"External init callback must run in same thread" not in line:
                    os.write(_STDERR, line)


@contextmanager
def _suppress_logs() -> Iterator[None]:
    """Suppress the log messages of the profiler and of the allocator that it observes.

    This sets their log levels instead of closing stderr, because the last words of a library that aborts the process
    must still reach the user. The profiler reads its level from the environment once, when a process first uses it.
    """
    environment, level = os.environ.get(_PROFILER), _log_level()
    before = level.value
    os.environ.setdefault(_PROFILER, "99")  # higher than all levels in use
    level.value = max(before, _ERRORS)
    try:
        yield
    finally:
        level.value = before
        if environment is None:
            os.environ.pop(_PROFILER, None)


def _log_level() -> ctypes.c_int:
    """Torch's log level, a C variable without a Python binding; a dummy variable if it does not exist."""
    for library in (Path(torch.__file__).parent / "lib").glob("*c10.*"):
        with suppress(OSError, ValueError):
            return ctypes.c_int.in_dll(ctypes.CDLL(str(library)), "FLAGS_caffe2_log_level")
    return ctypes.c_int()
