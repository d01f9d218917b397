"""The waiting time before any computation: help, the plan of a large matrix, the status of its results."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from optbench.config.load import load_config
from optbench.planning.matrix import make_plan
from optbench.reporting.outputs import _state, report_path
from optbench.results.atomic import write_bytes
from optbench.results.directory import ResultsDirectory
from optbench.timing.bench.comparison import Ratio, compare

#: The reference: an interpreter that imports only the library that parses the command line.
_BARE = ("-c", "import click")
#: Conditions of a quadratic valley, with 100 cells each: a large matrix, and one of a tenth of its size.
_MANY, _FEW = 20, 2
#: A script that does the work of `run` before it prints the leaderboard, in a new process.
RESUME = """
import sys
from pathlib import Path
import optbench
file, folder = map(Path, sys.argv[1:])
results = optbench.run(file=file, name=folder.name, results=folder.parent)
"""


def start_up(pairs: int) -> Iterator[Ratio]:
    """Compares whole processes: `--help` against a bare interpreter, and commands on a large and a small matrix.

    The small matrix has a tenth of the cells. A ratio below ten means that the time grows less than in proportion.
    """
    yield compare(
        "optbench --help / python -c 'import click'", "s", lambda: _seconds("-m", "optbench", "--help"),
        lambda: _seconds(*_BARE), pairs, better="low",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        sides = [_commands(Path(place), conditions) for conditions in (_MANY, _FEW)]
        for name in sides[0]:
            many, few = (side[name] for side in sides)
            yield compare(
                f"{name} {100 * _MANY:,} cells / {100 * _FEW}", "s", lambda many=many: _seconds(*many),  # type: ignore[misc]
                lambda few=few: _seconds(*few), pairs, target=_MANY / _FEW, better="low",  # type: ignore[misc]
            )  # fmt: skip


def _commands(place: Path, conditions: int) -> dict[str, tuple[str, ...]]:
    folder = make_finished_directory(place, conditions)
    file = str(matrix(place, conditions))
    return {
        "plan of": ("-m", "optbench", "plan", "--config", file),
        "status of": ("-m", "optbench", "status", folder.name, "--results", str(place)),
        "resume of finished": ("-c", RESUME, file, str(folder)),
    }


def matrix(folder: Path, conditions: int) -> Path:
    """A configuration of 100 cells for each condition of a quadratic valley."""
    values = ",".join(str(10 + number) for number in range(conditions))
    file = folder / f"matrix-{conditions}.toml"
    file.write_text(
        f'problems = ["quadratic_valley[condition=[{values}]]"]\n'
        "batch_sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]\n"
        'devices = ["cpu"]\nseeds = 1\n'
    )
    return file


def make_finished_directory(place: Path, conditions: int) -> Path:
    """Makes a results directory of `matrix` that counts as complete, with a made-up result in each cell."""
    folder = place / f"finished-{conditions}"
    directory = ResultsDirectory(folder)
    directory.create()
    plan = make_plan(load_config(file=matrix(place, conditions)))
    result = {"status": "ok", "seeds": [0], "trials": 0, "tuning_cost": 0.0, "tuning_budget": 100.0, "error": ""}
    for cell in plan.cells:
        directory.cell(cell.id).write_result(result)
    for path in (folder / "tables" / "summary.parquet", folder / "plots" / "none.svg", report_path(folder)):
        write_bytes(path, b"")
    directory.write_plan({"seeds": [0], "studies": 1, "cells": [cell.record() for cell in plan.cells]})
    (folder / "tables" / ".made-from").write_text(f"{_state(directory)} test_metric")
    return folder


def _seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started
