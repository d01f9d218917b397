"""The sliding window: never more under way than there is room for, and lost jobs tried again as often as said."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from optbench.config.load import configure
from optbench.planning.matrix import make_plan
from optbench.problem.data import DataSource
from optbench.results.directory import ResultsDirectory
from optbench.runner.job import Job
from optbench.runner.window import run_jobs
from tests.support.tiny import TINY


class _Engine:
    """Computes in threads a moment later; the worker of a job named in `losses` is lost so many times."""

    retries = 2

    def __init__(self, slots: int, losses: dict[str, int] | None = None) -> None:
        self.slots, self.losses = slots, dict(losses or {})
        self.started: list[tuple[str, int]] = []
        self.most = 0

    def submit(self, fn: Callable[[Job], Any], job: Job, /) -> Future[Any]:
        self.started.append((job.cell.id, job.attempt))
        future: Future[Any] = Future()

        def end() -> None:
            if self.losses.get(job.cell.id, 0) > 0:
                self.losses[job.cell.id] -= 1
                future.set_exception(BrokenExecutor("lost"))
            else:
                future.set_result(fn(job))

        Timer(0.01, end).start()
        return future

    def has_room(self, job: Job, under_way: Collection[Job], alone: bool) -> bool:
        self.most = max(self.most, len(under_way))
        return len(under_way) < (1 if alone else self.slots)

    def poll(self) -> Sequence[str]:
        return ["looked"]


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    choices = {
        "problems": [TINY],
        "optimizers": ["sgd", "adam", "nesterov"],
        "batch_sizes": [10, 20],
        "devices": ["cpu"],
    }
    cells = make_plan(configure(**choices)).cells
    return [Job(cell, (0,), ResultsDirectory(tmp_path), DataSource(tmp_path), "here") for cell in cells]


@pytest.mark.parametrize(("alone", "widest"), [(False, 3), (True, 1)])
def test_as_many_are_under_way_as_there_is_room_for(jobs: list[Job], alone: bool, widest: int) -> None:
    engine = _Engine(3)
    done = {job.cell.id: future.result() for job, future in run_jobs(engine, lambda j: j.name, jobs, alone=alone)}
    assert done == {job.cell.id: job.name for job in jobs}
    assert [cell for cell, _ in engine.started] == [job.cell.id for job in jobs]
    assert engine.most == widest


def test_a_lost_job_is_tried_again_before_the_others_and_then_given_up(jobs: list[Job]) -> None:
    often, forever = jobs[0].cell.id, jobs[1].cell.id
    engine, told = _Engine(1, {often: 2, forever: 99}), []
    outcomes = {job.cell.id: (job, future) for job, future in run_jobs(engine, lambda _: 1, jobs, report=told.append)}
    expected = [(often, 0), (often, 1), (often, 2), (forever, 0), (forever, 1), (forever, 2)]
    assert engine.started == [*expected, *((job.cell.id, 0) for job in jobs[2:])]
    assert isinstance(outcomes[forever][1].exception(), BrokenExecutor)
    assert outcomes[forever][0].attempt == 2
    assert {cell: future.result() for cell, (_, future) in outcomes.items() if cell != forever} == {
        job.cell.id: 1 for job in jobs if job.cell.id != forever
    }
    assert f"{jobs[0].name}: lost; trying again (2 of 2)" in told
    assert "looked" in told


def test_what_a_job_raises_is_its_own_and_not_tried_again(jobs: list[Job]) -> None:
    def fail(job: Job) -> None:
        raise ValueError(job.name)

    engine = _Engine(2)
    # The engine above sets results only; one that raises is given as such by a real one.
    engine.submit = lambda fn, job: _failed(job)  # type: ignore[method-assign]
    raised = [str(future.exception()) for _, future in run_jobs(engine, fail, jobs)]
    assert sorted(raised) == sorted(job.name for job in jobs)


def _failed(job: Job) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(ValueError(job.name))
    return future
