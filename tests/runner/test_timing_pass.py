"""The timing pass: times of steps, memory, and what it leaves to the cell."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from optbench.config.load import configure
from optbench.planning.matrix import make_plan
from optbench.problem.data import DataSource
from optbench.results.directory import ResultsDirectory
from optbench.runner.job import Job
from optbench.runner.timing_pass import budget_from_seconds, measure
from tests.support.tiny import RAISING, TINY, TINY_NET

SOURCE = DataSource(Path("unused"), download=False)


def test_times_are_positive_ordered_and_consistent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optbench.runner.timing_pass.REPETITION_SECONDS", 0.03)  # several steps a repetition
    cell = make_plan(configure(problems=[TINY_NET], optimizers=["sgd"], batch_sizes=[10])).cells[0]
    directory = ResultsDirectory(tmp_path)
    measure(Job(cell, (0,), directory, SOURCE, "here"))
    timing = directory.cell(cell.id).timing()
    assert timing is not None
    assert 0 < timing["seconds_per_cost_low"] <= timing["seconds_per_cost"] <= timing["seconds_per_cost_high"]
    assert timing["seconds_per_step"] == pytest.approx(10 * timing["seconds_per_cost"])
    assert timing["environment"] == "here"
    assert capfd.readouterr().err == ""
    budget = budget_from_seconds(cell, timing)  # of epochs' amount, taken as seconds
    assert budget == max(10, round(cell.run_budget.amount / timing["seconds_per_cost"]))


def test_peak_memory_is_that_of_the_largest_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that holds a tensor of 3 MB once, and two of 1 MB at other times, peaks 3 MB higher."""
    cell = make_plan(configure(problems=[TINY], optimizers=["sgd"], batch_sizes=[10])).cells[0]
    directory = ResultsDirectory(tmp_path)
    measure(Job(cell, (0,), directory, SOURCE, ""))
    before = (directory.cell(cell.id).timing() or {})["peak_memory_bytes"]
    step = torch.optim.SGD.step

    def hungry(self: torch.optim.SGD, closure: None = None) -> None:
        for megabytes in (1, 3, 1):
            torch.empty(megabytes * 2**20, dtype=torch.uint8)
        step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", hungry)
    measure(Job(cell, (0,), directory, SOURCE, ""))
    peak = (directory.cell(cell.id).timing() or {})["peak_memory_bytes"]
    assert 0 < before < 2**20
    assert 3 * 2**20 <= peak <= 3 * 2**20 + before


def test_an_optimizer_that_fails_is_left_to_its_cell(tmp_path: Path) -> None:
    cell = make_plan(configure(problems=[TINY], optimizers=[RAISING], batch_sizes=[10])).cells[0]
    directory = ResultsDirectory(tmp_path)
    measure(Job(cell, (0,), directory, SOURCE, ""))
    assert directory.cell(cell.id).timing() is None
    with pytest.raises(RuntimeError, match="could not be measured"):
        budget_from_seconds(cell, None)
