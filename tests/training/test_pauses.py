"""Trainings that are paused and continued: the same bits as uninterrupted ones, and a limit that holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.training.device_data import load
from optbench.training.execution import trainer as trainer_module
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from optbench.training.loop import Course, train
from optbench.training.record import Training
from tests.support import normed
from tests.support.own import OWN
from tests.support.tiny import TINY, TINY_NET

SOURCE = DataSource(Path("unused"), download=False)
NORMED = f"{normed.__file__}:Normed"
BUDGET = 800


def cell_of(problem: str, optimizer: str, **choices: Any) -> Cell:
    given = {"batch_sizes": [10], "devices": ["cpu"], "run_budget": f"{BUDGET}examples", "evaluations": 8, **choices}
    execution = given.pop("execution", "auto")
    [cell] = make_plan(configure(problems=[problem], optimizers=[optimizer], **given), execution=execution).cells
    return cell


def figures(record: Training) -> dict[str, Any]:
    return {key: value for key, value in asdict(record).items() if not key.endswith("_seconds")}


@pytest.mark.parametrize(
    ("problem", "optimizer"),
    [
        (NORMED, "adam"),
        (TINY_NET, "lbfgs"),
        (TINY_NET, f"{OWN}:Averaging"),
        (TINY, f"{OWN}:Newton"),
        (NORMED, "sgd[lr_schedule=wsd,lr_cooldown=30,lr_final=0.1,lr_warmup=9]"),
        (NORMED, "adam[clip_norm=0.5,average_share=0.6]"),
        (TINY, f"{OWN}:Newton[clip_value=0.1,average_decay=0.9]"),
    ],
)
def test_paused_trainings_have_the_bits_of_uninterrupted_ones(problem: str, optimizer: str) -> None:
    """With dropout and batch norm, closures, other weights for evaluations; another training runs in each pause."""
    schedule = "constant" if "lr_schedule" in optimizer else "wsd[decay=30,shape=sqrt,warmup=9]"
    cell = cell_of(problem, optimizer, schedules=[schedule])
    problem_, data = load(cell.problem, SOURCE, cell.device)
    rates = cell.optimizer.defaults
    whole = [train(cell, problem_, data, rates, seed, BUDGET, test=True) for seed in (0, 1)]
    parts = [Course(cell, problem_, data, rates, seed, BUDGET, test=True) for seed in (0, 1)]
    for until in (1, 3, 4, 8):
        for part in parts:
            part.advance(until)
            torch.rand(3)
    assert [figures(part.record) for part in parts] == [figures(record) for record in whole]


def test_a_pause_is_an_evaluation_and_costs_what_was_trained() -> None:
    cell = cell_of(TINY_NET, "sgd")
    course = Course(cell, *load(cell.problem, SOURCE, cell.device), {"lr": 0.1}, 0, BUDGET)
    course.advance(2)
    assert [point.index for point in course.record.points] == [0, 1, 2]
    assert course.record.cost == BUDGET / 4
    assert course.record.status == "ok"


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs", f"{OWN}:Averaging"])
def test_a_limit_is_never_exceeded_and_ends_a_training_whose_step_does_not_fit(optimizer: str) -> None:
    cell = cell_of(TINY_NET, optimizer)
    course = Course(cell, *load(cell.problem, SOURCE, cell.device), cell.optimizer.defaults, 0, BUDGET)
    course.advance(1, 3 * 300)
    assert (course.record.status, course.record.points[-1].index) == ("ok", 1)
    course.advance(4, 3 * 310)
    assert course.ledger.thirds <= 3 * 310
    assert (course.record.status, course.record.points[-1].index) == ("skipped", 4)
    assert course.record.error == "a step needs more than the share of the budget up to evaluation 4"


def test_a_training_whose_step_was_undone_ends_also_beyond_the_evaluation() -> None:
    """The step's cost reaches the evaluation; the optimizer has seen a batch of a step that was not taken."""
    cell = cell_of(TINY_NET, "lbfgs[max_iter=20]")
    course = Course(cell, *load(cell.problem, SOURCE, cell.device), cell.optimizer.defaults, 0, BUDGET)
    course.advance(1, 3 * BUDGET // 8)
    assert course.ledger.thirds == 3 * BUDGET // 8
    assert (course.record.status, course.record.points[-1].index) == ("skipped", 1)


def test_a_training_that_costs_exactly_its_limit_can_be_continued() -> None:
    cell = cell_of(TINY_NET, "sgd")
    course = Course(cell, *load(cell.problem, SOURCE, cell.device), {"lr": 0.1}, 0, BUDGET)
    course.advance(2, 3 * BUDGET // 4)
    assert (course.record.status, course.record.error, course.record.cost) == ("ok", "", BUDGET // 4)
    course.advance(8)
    assert (course.record.status, course.record.points[-1].index, course.record.cost) == ("ok", 8, BUDGET)


def test_a_training_whose_memory_was_needed_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of(TINY_NET, "adam")
    problem, data = load(cell.problem, SOURCE, cell.device)
    whole = []
    for rate in (0.1, 0.01):
        whole.append(Course(cell, problem, data, {"lr": rate}, 0, BUDGET, train_loss=False))
        whole[-1].advance(8)
    for held in (2**30, 0):
        monkeypatch.setattr(trainer_module, "MOST_PAUSED_BYTES", held)
        made: list[Course] = []
        monkeypatch.setattr(
            trainer_module, "Course", lambda *a, made=made, **k: made.append(Course(*a, **k)) or made[-1]
        )
        trainer = Trainer(cell, problem, data)
        for until in (2, 8):
            records = [
                figures(r) for r in trainer.train([Replica({"lr": x}, 0, until=until) for x in (0.1, 0.01)], BUDGET)
            ]
        assert repr(records) == repr([figures(course.record) for course in whole])
        assert len(made) == (2 if held else 3)


def test_a_population_pauses_at_an_evaluation() -> None:
    cell = cell_of(TINY_NET, "sgd", execution="population")
    trainer = Trainer(cell, *load(cell.problem, SOURCE, cell.device))
    short, long = (
        list(trainer.train([Replica({"lr": rate}, 0, until=until) for rate in (0.1, 0.01)], BUDGET)) for until in (2, 8)
    )
    assert trainer.execution == "population"
    for paused, whole in zip(short, long, strict=True):
        assert paused.points == whole.points[:3]
        assert paused.cost == BUDGET / 4
