"""A soak test: runs thousands of tiny cells while their workers are killed at random. It checks whether the results are
complete and equal to those of an undisturbed run, and whether the memory of the coordinator stays constant.

`python -m optbench.timing.bench.soak [CELLS] [SECONDS BETWEEN KILLS] [ENGINE]`, on Linux; takes minutes.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optbench import api
from optbench.errors import UserError
from optbench.machine.environment import describe_environment
from optbench.results.directory import ResultsDirectory
from optbench.results.load import Results
from optbench.results.machines import TIMING_COLUMNS
from optbench.runner.progress import for_stderr

_OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "rmsprop")
_BATCH_SIZES = (50, 100)
#: The most rounds with `--retry-failed`: a cell whose repetition is killed as well counts as failed.
_ROUNDS = 9
#: Steps are not timed: the timing pass would take most of the time and is not tested here.
_TIMING = {"seconds_per_cost": 1e-6, "seconds_per_step": 1e-4, "peak_memory_bytes": 0}


@dataclass
class Soak:
    """The result of a soak test.

    `memory` is the resident set of the coordinator in MiB and `files` the number of its open files, sampled after the
    first twentieth of the cells; samples of a restarted coordinator are appended.
    """

    cells: int
    kills: int = 0
    rounds: int = 0
    seconds: float = 0.0
    complete: bool = False
    differing: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        memory, files = self.memory or [math.nan], self.files or [0]
        return (
            f"{self.cells} cells, {self.kills} workers killed in {self.seconds:.0f} s and {self.rounds} round(s): "
            f"{'complete' if self.complete else 'INCOMPLETE'}, "
            f"{'equal' if not self.differing else 'DIFFERENT in ' + ', '.join(self.differing)}; coordinator "
            f"{memory[0]:.0f} MiB at first, {max(memory):.0f} at most, {memory[-1]:.0f} at last; open "
            f"files {files[0]}, {max(files)}, {files[-1]}"
        )


def soak(folder: Path, cells: int, every: float, engine: str, seed: int = 0) -> Soak:
    """Runs the matrix undisturbed, and again with a random worker killed every `every` seconds on average.

    Args:
        folder: The folder of both results directories.
        cells: The number of cells.
        every: The mean number of seconds between two kills.
        engine: The engine of the disturbed run.
        seed: The seed of the random choice of workers and times.

    Returns:
        The comparison of both runs.
    """
    choices = _matrix(cells)
    plain, soaked = folder / "plain", folder / "soaked"
    for place in (plain, soaked):
        _give_timings(place, choices)
    _run(plain, choices, "processes")
    outcome = Soak(cells)
    started = time.monotonic()
    for _ in range(_ROUNDS):
        outcome.rounds += 1
        _run_with_kills(soaked, choices, engine, every, outcome, random.Random(seed + outcome.rounds))
        if set(Results(soaked).states().values()) == {"done"}:
            outcome.complete = True
            break
    outcome.seconds = time.monotonic() - started
    outcome.differing = _differing(Results(plain), Results(soaked))
    return outcome


def _matrix(cells: int) -> dict[str, Any]:
    conditions = ",".join(str(10 + n) for n in range(cells // (len(_OPTIMIZERS) * len(_BATCH_SIZES))))
    return {
        "problems": [f"quadratic_valley[condition=[{conditions}]]"],
        "optimizers": list(_OPTIMIZERS),
        "batch_sizes": list(_BATCH_SIZES),
        "devices": ["cpu"],
        "seeds": 1,
        "run_budget": "200examples",
        "evaluations": 2,
        "tuning_worth": 2,
    }


def _give_timings(folder: Path, choices: dict[str, Any]) -> None:
    directory, key = ResultsDirectory(folder), str(describe_environment(["cpu"])["key"])
    directory.create()
    for cell in api.plan(**choices).cells:
        directory.cell(cell.id).write_timing({**_TIMING, "environment": key})


def _run(folder: Path, choices: dict[str, Any], engine: str) -> None:
    try:
        api.run(
            engine=engine, workers=2, results=folder.parent, name=folder.name, outputs=False, retry_failed=True,
            execution="eager", progress=for_stderr(), **choices,
        )  # fmt: skip
    except UserError as error:  # no worker could be started; the same command resumes
        print(error, file=sys.stderr)
        sys.exit(2)


def _run_with_kills(
    folder: Path, choices: dict[str, Any], engine: str, every: float, outcome: Soak, chance: random.Random
) -> None:
    coordinator = multiprocessing.get_context("spawn").Process(target=_run, args=(folder, choices, engine))
    coordinator.start()
    assert coordinator.pid is not None
    at_first, due = _count_results(folder), time.monotonic() + every
    while coordinator.is_alive():
        coordinator.join(0.5)
        finished = _count_results(folder)
        if finished >= outcome.cells / 20:
            with suppress(OSError, IndexError):  # the coordinator may end in between
                outcome.memory.append(_resident_mib(coordinator.pid))
                outcome.files.append(sum(1 for _ in Path(f"/proc/{coordinator.pid}/fd").iterdir()))
        # Not before the first cell has finished: a cluster whose workers are killed at their start is refused.
        if finished > at_first and time.monotonic() > due and (workers := _workers(coordinator.pid)):
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                outcome.kills += 1
            due = time.monotonic() + chance.uniform(0.5, 1.5) * every
    if coordinator.exitcode not in (0, 2):
        raise RuntimeError(f"the coordinator ended with {coordinator.exitcode}")


def _count_results(folder: Path) -> int:
    return sum(1 for _ in folder.glob("cells/*/result.json"))


def _workers(coordinator: int) -> list[int]:
    """The worker processes of a coordinator, including those that are starting: the children of its fork server."""
    parents: dict[int, int] = {}
    servers: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if b"multiprocessing.forkserver" in (process / "cmdline").read_bytes():
                servers.add(int(process.name))
    return [pid for pid, parent in parents.items() if parent in servers and parents.get(parent) == coordinator]


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _differing(one: Results, other: Results) -> list[str]:
    """The names of the frames that differ, ignoring columns that depend on the speed of the machine."""
    names = []
    for name in ("runs", "trials", "curves", "cells", "trajectories"):
        first, second = (
            getattr(results, name).drop(columns=list(TIMING_COLUMNS), errors="ignore") for results in (one, other)
        )
        if not first.equals(second):
            names.append(name)
    return names


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv[1:]))
    with tempfile.TemporaryDirectory() as temporary:
        print(
            soak(
                Path(temporary),
                int(arguments.get(0, 2000)),
                float(arguments.get(1, 4)),
                arguments.get(2, "dask"),
            )
        )
