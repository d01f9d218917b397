"""Context managers that control how a process handles Ctrl-C and the signals that ask it to end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

#: The option of Linux's `prctl` that sets the signal which a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


@contextmanager
def endings_as_interrupts() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C: stop at once, and leave a resumable state and nothing else.

    A signal that is ignored stays ignored: `nohup` ignores SIGHUP.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with ExitStack() as stack:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                stack.enter_context(_set_handler(number, interrupt))
        yield


@contextmanager
def ending_with_parent() -> Iterator[None]:
    """End this process at once if its parent ends in this context; does nothing if the system is not Linux.

    Without it, a process that imports for seconds would keep the outputs of its parent open until it looks for it.
    """
    import ctypes

    prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    try:
        yield
    finally:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


@contextmanager
def ignore_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C in this context and in processes started in it, which then ignore it even while they import."""
    with _set_handler(signal.SIGINT, signal.SIG_IGN):
        yield


@contextmanager
def _set_handler(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Install a signal handler for the duration of the context; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
