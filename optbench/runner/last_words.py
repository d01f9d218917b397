"""How a worker process ended: the signal or exit code, and what it wrote to stderr before."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress

from optbench.results.stored import LOST_WORKER

#: Bytes of stderr that are kept, and the number of last lines and of characters that are part of an error.
_KEPT, _LINES, _LENGTH = 4096, 3, 300
#: The end of a worker of which nothing is known.
_UNKNOWN = "killed, or out of memory"


class LostWorker(BrokenExecutor):
    """The worker of a job has ended before the job was done.

    Args:
        message: The error's message.
        exit_code: The process's exit code, or minus the number of the signal that ended it; None if unknown.
        words: What the job wrote to stderr at last.
    """

    def __init__(self, message: str, exit_code: int | None = None, words: str = "") -> None:
        super().__init__(message)
        self.exit_code, self.words = exit_code, words


def describe_loss(error: BrokenExecutor, attempts: int = 1) -> str:
    """Returns the loss of a job's worker as one line: how it ended, and its last words.

    Args:
        error: The error of the job's future.
        attempts: How many workers the job has lost.

    Example:
        >>> describe_loss(LostWorker("", -6, "double free or corruption (out)"))
        'the worker process died (SIGABRT): double free or corruption (out)'
    """
    exit_code, words = (error.exit_code, error.words) if isinstance(error, LostWorker) else (None, "")
    times = f", {attempts} times" if attempts > 1 else ""
    lines = [" ".join(line.split()) for line in words.splitlines() if line.strip()]
    last = " | ".join(lines[-_LINES:])
    if len(last) > _LENGTH:
        last = f"… {last[-_LENGTH:]}"
    return f"{LOST_WORKER} ({_describe_end(exit_code)}{times})" + (f": {last}" if last else "")


def _describe_end(exit_code: int | None) -> str:
    if exit_code is None:
        return _UNKNOWN
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:  # a real-time signal
        name = f"signal {-exit_code}"
    return f"{name}: {_UNKNOWN}" if name == "SIGKILL" else name


class StderrTap:
    """Passes on what a job in a worker process writes to stderr, and keeps the end of it.

    The worker opens `path` (see `tapped`), which is this process's end of a pipe. So nothing is left behind, however
    either process ends. Without a file system /proc, nothing is kept.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._kept = b""
        self.path = f"/proc/{os.getpid()}/fd/{self._writer}"
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def close(self) -> str:
        """Ends the tap after the job's end, and returns what was kept."""
        os.close(self._writer)
        # A process that the worker has started may keep its stderr open.
        self._thread.join(timeout=1.0)
        return self._kept.decode("utf-8", errors="replace")

    def _pass_on(self) -> None:
        while written := os.read(self._reader, _KEPT):
            self._kept = (self._kept + written)[-_KEPT:]
            with suppress(OSError):
                while written:
                    written = written[os.write(2, written) :]
        os.close(self._reader)


@contextmanager
def tapped(path: str) -> Iterator[None]:
    """A context, in the worker, in which stderr goes through a tap.

    Args:
        path: The tap's `path`; empty for none.
    """
    try:
        tap = os.open(path, os.O_WRONLY) if path else -1
    except OSError:
        tap = -1
    if tap < 0:
        yield
        return
    with suppress(AttributeError, ValueError):  # stderr was replaced or closed
        sys.stderr.reconfigure(write_through=True)  # type: ignore[union-attr]
    before = os.dup(2)
    os.dup2(tap, 2)
    os.close(tap)
    try:
        yield
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
