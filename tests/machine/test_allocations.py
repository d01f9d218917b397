"""The memory that a piece of work takes, and what it writes meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from optbench.machine.allocations import memory_changes


def test_allocations_are_counted_in_bytes_in_their_order() -> None:
    def work() -> None:
        first = torch.empty(1000, dtype=torch.float64)
        del first
        torch.empty(500, dtype=torch.float64)

    assert memory_changes(work) == [8000, -8000, 4000, -4000]


def test_the_profiler_is_silent_and_last_words_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    """A library that ends the process says why on the descriptor itself, past Python."""
    before = dict(os.environ)
    blocks = [torch.ones(10) for _ in range(3000)]  # whose end makes the allocator log

    def work() -> None:
        blocks.clear()
        os.write(2, b"double free or corruption\n")

    memory_changes(work)
    assert capfd.readouterr() == ("", "double free or corruption\n")
    assert dict(os.environ) == before


THREADED = """
import os, threading, torch
from optbench.machine.allocations import memory_changes

def measure():
    print(memory_changes(lambda: (torch.ones(10), os.write(2, b"last words"))))

thread = threading.Thread(target=measure)
thread.start()
thread.join()
"""


@pytest.mark.processes
def test_the_profiler_is_silent_in_another_thread_than_that_of_the_import() -> None:
    """As in a worker of Dask. The profiler complains once per process, so it has to be a new one."""
    ran = subprocess.run([sys.executable, "-c", THREADED], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("[40, -40]\n", "last words")
