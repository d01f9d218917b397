"""Signals of a process: what is asked to end stops like one that is interrupted, and handlers are put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from optbench.machine.signals import ignore_interrupts, sigterm_as_interrupt


def test_a_terminated_block_ends_as_if_interrupted() -> None:
    before = signal.getsignal(signal.SIGTERM)
    undone = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            undone.append(True)

    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        work()
    assert undone == [True]
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_is_ignored_for_a_while() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ignore_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) == before


def test_a_thread_leaves_handlers_alone() -> None:
    before, seen = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)), []

    def inside() -> None:
        with sigterm_as_interrupt(), ignore_interrupts():
            seen.append((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
