"""The speed of own problems is measured for plans: on a clock that the problems themselves move forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optbench.cli.text import plan_text
from optbench.config.load import configure
from optbench.planning.matrix import Cell, Plan, make_plan
from optbench.problem.data import DataSource
from optbench.runner import speed
from optbench.runner.speed import with_measured_speeds
from tests.support.tiny import TINY

SOURCE = DataSource(Path("unused"), download=False)
#: A problem whose passes take seconds by the clock below: one per call and one per hundred examples.
FILE = """
from dataclasses import dataclass
import torch
from torch import nn
from optbench import Data, Problem

clock = [0.0]

@dataclass(frozen=True)
class Timed(Problem):
    name = "timed"
    metric_name = "error"
    metric_higher_is_better = False
    run_budget = "2epochs"
    fails: bool = False
    pace: float = 1.0

    def training_examples(self):
        return 200

    def load_data(self, source):
        x = torch.arange(1000.0).reshape(-1, 1) / 1000
        return Data((x[:200], x[:200]), (x[:100], x[:100]), (x[:400], x[:400]))

    def model(self):
        return nn.Linear(1, 1)

    def _take(self, n):
        clock[0] += self.pace * (0.01 + n / 10000)

    def loss(self, model, batch):
        if self.fails:
            raise ValueError("no loss today")
        print("a line of the user's code")
        self._take(len(batch[0]))
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    def metric(self, model, batch):
        return (model(batch[0]) - batch[1]).abs().mean()
"""


@pytest.fixture
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from optbench.importing import load_attribute

    file = tmp_path / "timed.py"
    file.write_text(FILE)
    clock = load_attribute(f"{file}:clock")
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    return f"{file}:Timed"


def planned(*problems: str, **choices: Any) -> Plan:
    choices = {"optimizers": ["sgd"], "seeds": 2, "tuning_worth": 3, "batch_sizes": [20, 100], **choices}
    return with_measured_speeds(make_plan(configure(problems=list(problems), **choices)), SOURCE)


def expected(cell: Cell, pace: float = 1.0) -> float:
    """The seconds of the problem's passes: 3 trainings for the tuning, 4 final runs; 100 + 200 examples evaluated."""
    steps = 400 // cell.batch_size * (0.01 + cell.batch_size / 10000)
    evaluation = (cell.evaluations + 1) * 300 * (0.01 + 100 / 10000) / 100
    return pace * (7 * (steps + evaluation) + 4 * 400 * (0.01 + 100 / 10000) / 100)


def test_the_estimate_is_what_a_run_takes(timed: str) -> None:
    plan = planned(timed)
    assert [plan.seconds(cell) for cell in plan.cells] == pytest.approx([expected(cell) for cell in plan.cells])
    text = plan_text(plan, workers=1)
    assert "(timed measured here by a few steps and an evaluation)" in text


def test_a_budget_in_seconds_has_the_evaluations_in_addition(timed: str) -> None:
    plan = planned(timed, run_budget="30seconds", batch_sizes=[20])
    [cell] = plan.cells
    evaluations = expected(cell) - 7 * 400 // 20 * (0.01 + 20 / 10000)
    assert plan.seconds(cell) == pytest.approx(30 * 7 + evaluations)


def test_slow_problems_take_a_bounded_time(timed: str) -> None:
    """A step takes longer than the limit: after it, the other batch sizes and problems have no steps of their own."""
    from optbench.importing import load_attribute

    clock = load_attribute(f"{timed.rpartition(':')[0]}:clock")
    plan = planned(f"{timed}[pace=1000]", f"{timed}[pace=2000]", batch_sizes=[20, 40, 100])
    step = 1000 * (0.01 + 20 / 10000)
    assert clock[0] == pytest.approx(2 * step), "a step, and an evaluation of as many examples"
    slow, slower = (plan.cells[:3], plan.cells[3:])
    assert [plan.speed(cell) for cell in slow] == [plan.speed(slow[0])] * 3
    assert [plan.speed(cell) for cell in slower] == [None] * 3
    text = plan_text(plan, workers=1)
    assert "(timed[pace=1000.0] measured here by a few steps and an evaluation; the others estimated from " in text


def test_a_problem_that_fails_keeps_its_estimate_and_has_a_note(timed: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(f"{timed}[fails=true]", timed, batch_sizes=[20])
    assert plan.seconds(plan.cells[0]) == replace(plan, speeds={}).seconds(plan.cells[0])
    assert plan.seconds(plan.cells[1]) == pytest.approx(expected(plan.cells[1]))
    assert plan.notes == ("the speed of problem timed[fails=true] can't be measured: ValueError: no loss today",)
    assert capsys.readouterr().out == "", "what user code prints is not part of the plan"


def test_registered_problems_keep_their_constants(timed: str) -> None:
    plan = planned("quadratic_valley")
    assert plan.speeds == {}
    assert "(estimated from measurements on a server CPU with one thread)" in plan_text(plan, workers=1)


def test_a_measurement_changes_no_identity() -> None:
    before = make_plan(configure(problems=[TINY], optimizers=["sgd", "lbfgs"]))
    after = with_measured_speeds(before, SOURCE)
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert all(after.speed(cell) for cell in after.cells)
