"""Waits for what other processes and threads do, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which something that should happen counts as never happening: below the time limit of a test, and far
#: above what it takes on a machine with other work.
PATIENCE = 200.0


def wait_until(condition: Callable[[], object], what: str, alive: Callable[[], object] = lambda: True) -> None:
    """Returns as soon as `condition` holds.

    Raises AssertionError, with `what` was expected, after `PATIENCE` seconds, or when `alive` no longer holds: when
    the thread or process that should bring it about has ended.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert alive() or condition(), f"ended without: {what}"
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.01)
