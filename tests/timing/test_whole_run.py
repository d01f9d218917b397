"""The times of a command by phases: processes that have ended, and those that it leaves behind, are counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optbench.timing.bench.whole_run import PHASES, measure_command

pytestmark = [
    pytest.mark.processes, pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's process table")
]  # fmt: skip

#: A second phase whose work a child does, and a third one whose work is done by a process that outlives the command.
PROGRAM = """
import os, subprocess, sys, time
BURN = "import time\\nwhile time.process_time() < 0.3: pass"
print("2 of 2 cells to compute", file=sys.stderr, flush=True)
subprocess.run([sys.executable, "-S", "-c", BURN])
print("timing steps in isolation: done in 1 s", file=sys.stderr, flush=True)
print("training: done in 1 s", file=sys.stderr, flush=True)
subprocess.Popen([sys.executable, "-S", "-c", BURN], stderr=subprocess.DEVNULL)
"""


def test_the_work_of_all_processes_is_in_its_phase(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as other:
        times = measure_command([sys.executable, "-S", "-c", PROGRAM], os.environ, tmp_path)
        assert other.poll() is None  # another child of this process is not waited for
        other.communicate(b"\n")
    assert list(times) == [*PHASES, "the whole command"]
    work = {phase: processor for phase, (_, processor) in times.items()}
    assert work["timing pass"] >= 0.29  # ticks of a hundredth of a second
    assert work["tables, plots, page"] >= 0.29
    assert sum(work[phase] for phase in PHASES) == pytest.approx(work["the whole command"])
    assert sum(times[phase][0] for phase in PHASES) == pytest.approx(times["the whole command"][0])


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3, without the line \['cells to compute'\]"):
        measure_command([sys.executable, "-S", "-c", "raise SystemExit(3)"], os.environ, tmp_path)
