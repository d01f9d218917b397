"""Context managers that control how a process handles Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C: stop at once, leave a resumable state and no orphaned processes or temporary files."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with _set_handler(signal.SIGTERM, interrupt):
        yield


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
