"""The timing pass: times of steps, memory, and what it leaves to the cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from optbench.config.load import configure
from optbench.planning.matrix import make_plan
from optbench.problem.data import DataSource
from optbench.results.directory import ResultsDirectory
from optbench.runner import timing_pass
from optbench.runner.job import Job
from optbench.runner.timing_pass import _time_cell, budget_from_seconds, measure
from tests.support.tiny import RAISING, TINY, TINY_NET, Tiny

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


class Clock:
    """A clock that only steps of `Timed` advance, by what they are said to take."""

    now = 0.0
    #: Factors of the repetitions to come, each of them counted from the construction of an optimizer; then 1.
    load: ClassVar[Iterator[float]] = iter(())
    factor = 1.0

    @classmethod
    def read(cls) -> float:
        return cls.now


class Timed(torch.optim.SGD):
    """Takes 1 ms per step and trained parameter, and `work` ms more in every step whose number `period` divides."""

    def __init__(
        self, params: Any, lr: float = 0.01, period: int = 0, work: float = 30.0, late: int = 0, steps: int = 0
    ) -> None:
        super().__init__(params, lr=lr)
        self.period, self.work, self.late, self.total, self.taken = period, work, late, steps, 0
        Clock.factor = next(Clock.load, 1.0)

    def step(self, closure: Any = None) -> None:
        super().step()
        self.taken += 1
        if self.total and self.taken > self.total:
            raise IndexError("a step after the last one")
        rare = (self.period and self.taken % self.period == 0) or (self.late and self.taken > self.late)
        trained = sum(p.requires_grad for group in self.param_groups for p in group["params"])
        Clock.now += Clock.factor * 1e-3 * (trained + (self.work if rare else 0.0))


@dataclass(frozen=True)
class Thawing(Tiny):
    """One of its two parameters is frozen for a share of the training."""

    name: ClassVar[str] = "thawing"
    share: float = 0.5

    @property
    def freezing(self) -> dict[str, float]:
        return {"extra": self.share}

    def model(self) -> torch.nn.Module:
        model = super().model()
        model.extra = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        return model

    def loss(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
        return super().loss(model, batch) + model.extra.square().sum()


@pytest.fixture
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that times an optimizer by `Clock` and returns what is recorded, in milliseconds per step."""
    monkeypatch.setattr("optbench.runner.timing_pass.time", SimpleNamespace(perf_counter=Clock.read))
    monkeypatch.setattr("optbench.runner.timing_pass.REPETITION_SECONDS", 0.05)

    def run(optimizer: Any, budget: str, problem: Any = TINY, load: tuple[float, ...] = ()) -> SimpleNamespace:
        settings = {"batch_sizes": [10], "run_budget": budget}
        cell = make_plan(configure(problems=[problem], optimizers=[optimizer], **settings)).cells[0]
        directory = ResultsDirectory(tmp_path / cell.id)
        Clock.load = iter(load)
        said = measure(Job(cell, (0,), directory, SOURCE, ""))
        timing = directory.cell(cell.id).timing() or {}
        low, middle, high = (1e3 * timing[f"seconds_per_step{end}"] for end in ("_low", "", "_high"))
        return SimpleNamespace(low=low, middle=middle, high=high, said=said, timing=timing)

    return run


@pytest.mark.parametrize(
    ("budget", "steps"), [("20000examples", 4 * 249), ("600examples", 4 * 50), ("50examples", 4 * 50)]
)
def test_a_pass_takes_half_a_training_or_a_twentieth_of_a_second_a_repetition(
    timed: Any, budget: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2000, 60 or 5 steps of a millisecond, of which three are warm-up."""
    taken: list[int] = []

    def count(cell: object, stepper: object, number: int) -> Any:
        taken.append(number)
        return time_steps(cell, stepper, number)

    time_steps = timing_pass._time_steps
    monkeypatch.setattr(timing_pass, "_time_steps", count)
    timed(f"{__name__}:Timed", budget)
    assert sum(taken) == 3 + steps


@pytest.mark.parametrize("budget", ["180examples", "600examples", "2000examples"])
@pytest.mark.parametrize("period", [3, 7, 10])
def test_rare_steps_weigh_what_they_weigh_in_whole_periods(timed: Any, period: int, budget: str) -> None:
    """Whether a training has one of them or many, and without a word on the load of the machine."""
    found = timed(f"{__name__}:Timed[period={period}]", budget)
    assert found.middle == pytest.approx(1 + 30 / period, rel=1e-6)
    assert found.low == pytest.approx(found.high)
    assert found.said == ""
    assert found.timing["period"] == period
    assert timed(f"{__name__}:Timed", budget).middle == pytest.approx(1)


def test_work_that_does_not_repeat_weighs_what_it_weighs_in_the_training(timed: Any) -> None:
    """All steps of the second half, and the steps before and after a thaw, at the places where they occur."""
    found = timed(f"{__name__}:Timed[late=20]", "370examples")
    assert found.middle == pytest.approx(1 + 30 * 17 / 34)  # steps 4 to 37, of which 21 to 37 are late
    assert found.timing["period"] is None
    for budget in ("430examples", "2000examples"):
        shares = [timed(f"{__name__}:Timed", budget, f"{__name__}:Thawing[share={s}]").middle for s in (0.0, 0.5, 1.0)]
        assert shares == [pytest.approx(2.0), pytest.approx(1.5, abs=0.03), pytest.approx(1.0)]
    both = timed(f"{__name__}:Timed[period=10]", "2000examples", f"{__name__}:Thawing[share=0.5]")
    assert both.middle == pytest.approx(1.5 + 3.0, abs=0.06)


def test_an_optimizer_that_is_told_the_number_of_steps_is_not_taken_beyond_it(timed: Any) -> None:
    table = {"class": f"{__name__}:Timed", "from_run": {"steps": "steps"}, "arguments": {"period": 5}}
    for steps in (1, 2, 4, 18, 100):
        cell = configure(
            problems=[TINY],
            optimizers=["told"],
            optimizer={"told": table},
            batch_sizes=[10],
            run_budget=f"{10 * steps}examples",
        )
        timing = _time_cell(make_plan(cell).cells[0], SOURCE)
        assert timing["seconds_per_step"] > 0, steps


def test_a_loaded_machine_is_said(timed: Any) -> None:
    """If repetitions of the same steps differ, and only then; the first repetition prepares the others."""
    quiet = timed(f"{__name__}:Timed", "2000examples", load=(1.0, 9.0))
    assert quiet.said == quiet.timing["remark"] == ""
    busy = timed(f"{__name__}:Timed", "2000examples", load=(1.0, 1.0, 1.0, 10.0))
    assert busy.said == busy.timing["remark"]
    assert "not idle" in busy.said
    assert "from 1.00 to 10.0 ms per step" in busy.said
    assert (busy.low, busy.middle, busy.high) == (pytest.approx(1), pytest.approx(1), pytest.approx(10))


def test_memory_of_rare_steps_and_thawed_parts_is_measured(timed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Timed.step

    def hungry(self: Timed, closure: Any = None) -> None:
        if self.taken % 10 == 9 or sum(p.requires_grad for p in self.param_groups[0]["params"]) == 2:
            torch.empty(2**20, dtype=torch.uint8)
        step(self, closure)

    monkeypatch.setattr(Timed, "step", hungry)
    assert timed(f"{__name__}:Timed[period=0]", "2000examples").timing["peak_memory_bytes"] < 2**20
    assert timed(f"{__name__}:Timed[period=10]", "2000examples").timing["peak_memory_bytes"] >= 2**20
    for share, enough in ((0.5, True), (1.0, False)):
        found = timed(f"{__name__}:Timed", "2000examples", f"{__name__}:Thawing[share={share}]")
        assert (found.timing["peak_memory_bytes"] >= 2**20) == enough
