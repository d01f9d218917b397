"""The overhead of the bookkeeping of a run: ledger, curves, scheduling of evaluations and writes."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from optbench.budget import Ledger
from optbench.planning.matrix import Cell
from optbench.problem.data import DataSource
from optbench.results.directory import ResultsDirectory
from optbench.runner.cell import execute
from optbench.runner.job import Job
from optbench.timing.bench.comparison import Ratio, compare
from optbench.training.device_data import load
from optbench.training.stepper import Stepper


def bookkeeping(cell: Cell, source: DataSource, pairs: int) -> Ratio:
    """The time of a cell with one run at a fixed rate, minus its evaluations, against that of its steps alone."""
    cell = replace(cell, evaluations=10)
    problem, data = load(cell.problem, source, cell.device)

    def whole() -> float:
        with tempfile.TemporaryDirectory() as folder:
            directory = ResultsDirectory(Path(folder) / "bench")
            directory.create()
            started = time.perf_counter()
            assert execute(Job(cell, (0,), directory, source, "")) == "ok"
            seconds = time.perf_counter() - started
            record = directory.cell(cell.id).run(0, False)
        assert record is not None
        return float(seconds - record["eval_seconds"])

    def steps() -> float:
        started = time.perf_counter()
        stepper = Stepper(cell, problem, data, cell.optimizer.defaults, 0, Ledger(cell.run_cost))
        for _ in range(cell.run_cost // cell.batch_size):
            stepper.step()
        return time.perf_counter() - started

    return compare(
        f"a run with its bookkeeping / its steps alone, {cell.problem.label}, batch {cell.batch_size}",
        "s",
        whole,
        steps,
        pairs,
        target=1.02,
        better="low",
    )
