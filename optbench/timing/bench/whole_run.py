"""Processor and wall time of `optbench run` by phases, of two versions in turn.

    python -m optbench.timing.bench.whole_run BEFORE AFTER --pairs 5 -- --problem quadratic_valley

BEFORE and AFTER are Python interpreters, each of an environment in which a version is installed.

Only on Linux, whose process table shows the processor time of processes that have not ended yet.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import click
import numpy as np

from optbench.formatting import align_columns
from optbench.timing.bench.comparison import HEAD, Ratio

#: Each phase, and the words of the line on stderr with which it ends; the last one ends with the command.
PHASES = {
    "start and checks": "cells to compute",
    "timing pass": "timing steps in isolation: done",
    "training": "training: done",
    "tables, plots, page": None,
}
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)

Times = dict[str, tuple[float, float]]


def measure_command(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Times:
    """Executes a command and returns the wall and the processor seconds of each phase, and of the whole.

    Args:
        command: The command, which prints the lines of `PHASES`.
        environment: Its environment variables.
        folder: Its working directory.
    """
    # What the command leaves behind becomes a child of this process, which can count its processor time.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    before, started = _ended_seconds(), time.perf_counter()
    process = subprocess.Popen(
        command, env=dict(environment), cwd=folder, text=True, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    marks = [(0.0, 0.0)]
    waiting = [words for words in PHASES.values() if words]
    for line in process.stderr:
        if waiting and waiting[0] in line:
            waiting.pop(0)
            marks.append((time.perf_counter() - started, _session_seconds(process.pid)))
    code = process.wait()
    wall = time.perf_counter() - started
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-process.pid, 0)  # of the command's group alone: this process may have other children
    ctypes.CDLL(None).prctl(_SUBREAPER, 0, 0, 0, 0)
    if code or waiting:
        raise RuntimeError(f"{' '.join(command)} ended with {code}, without the line {waiting[:1]}")
    marks.append((wall, _ended_seconds() - before))
    times = {
        phase: (after[0] - start[0], after[1] - start[1])
        for phase, start, after in zip(PHASES, marks[:-1], marks[1:], strict=True)
    }
    return {**times, "the whole command": marks[-1]}


def _ended_seconds() -> float:
    """The processor seconds of all children that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def _session_seconds(session: int) -> float:
    """The processor seconds of the processes in a session so far, ended ones included."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _measure_version(python: str, arguments: Sequence[str]) -> Times:
    with tempfile.TemporaryDirectory() as place:
        command = [python, "-m", "optbench", "run", "--name", "measured", "--results", place, *arguments]
        return measure_command(command, os.environ, Path(place))


@click.command()
@click.argument("before", type=click.Path(exists=True, dir_okay=False))
@click.argument("after", type=click.Path(exists=True, dir_okay=False))
@click.argument("arguments", nargs=-1)
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="Number of pairs.")
def main(before: str, after: str, arguments: tuple[str, ...], pairs: int) -> None:
    """Compare `optbench run ARGUMENTS` by the interpreters AFTER and BEFORE, in turn, by phases."""
    sides: dict[str, list[Times]] = {before: [], after: []}
    for pair in range(pairs):
        for python in (before, after) if pair % 2 == 0 else (after, before):
            sides[python].append(_measure_version(str(Path(python).absolute()), arguments))
    rows = []
    for phase in (*PHASES, "the whole command"):
        for number, unit in enumerate(("s wall", "s processor")):
            a, b = (np.array([times[phase][number] for times in sides[python]]) for python in (after, before))
            rows.append(Ratio(phase, unit, a, b, better="low").row())
    click.echo(align_columns(((HEAD[0].replace("A / B", "after / before"), *HEAD[1:]), *rows), right=(1, 2, 4, 6)))


if __name__ == "__main__":
    main()
