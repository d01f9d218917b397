"""Signals of a process: what is asked to end stops like one that is interrupted, and handlers are put back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from optbench.machine.signals import endings_as_interrupts, ignore_interrupts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_block_ends_as_if_interrupted(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    undone = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            undone.append(True)

    with pytest.raises(KeyboardInterrupt), endings_as_interrupts():
        work()
    assert undone == [True]
    assert signal.getsignal(number) == before


def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with endings_as_interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


#: Starts a process that imports for a long time and keeps the output of this process, and ends when it has begun.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
child.stderr.readline()
"""
CHILD = """
import signal, sys, time
from optbench.machine.signals import ending_with_parent
with ending_with_parent():
    {inside}
{after}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone signals the end of a parent")
def test_a_process_that_imports_ends_with_its_parent_and_closes_its_outputs() -> None:
    """A child that has finished its imports goes on, and says so to the output of its parent."""
    begun = "print('begun', file=sys.stderr, flush=True)"
    waits = "signal.pause()"
    for child, said in (
        (CHILD.format(inside=f"{begun}; {waits}", after=""), ""),
        (CHILD.format(inside="pass", after=f"{begun}; time.sleep(0.1); print('after')"), "after\n"),
    ):
        # The output ends when both processes have ended.
        done = subprocess.run([sys.executable, "-c", PARENT, child], stdout=subprocess.PIPE, text=True, timeout=120)
        assert done.returncode == 0
        assert done.stdout == said


def test_ctrl_c_is_ignored_for_a_while() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ignore_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) == before


def test_a_thread_leaves_handlers_alone() -> None:
    before, seen = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)), []

    def inside() -> None:
        with endings_as_interrupts(), ignore_interrupts():
            seen.append((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
