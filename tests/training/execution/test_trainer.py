"""What a fallback to eager training leaves behind: nothing stale, and a note that a resume keeps to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench.problem.data import DataSource
from optbench.results.checksum import unseal
from optbench.results.store import CellStore
from optbench.training.device_data import load
from optbench.training.execution import trainer as module
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from optbench.training.record import Observer, Training
from tests.support.same_results import assert_same_results
from tests.support.tiny import TINY, Tiny, run_tiny
from tests.support.trainings import cell_for, facts, trained
from tests.test_resume import Crash

ORIGINAL = module.train_population
SOURCE = DataSource(Path("unused"), download=False)


def stopping_after(count: int) -> Callable[[], Observer]:
    """Makes observers, each of which stops its training at its own call of this number."""

    def make() -> Observer:
        seen: list[Training] = []

        def observe(training: Training) -> str:
            seen.append(training)
            return "enough" if len(seen) == count else ""

        return observe

    return make


def failing(error: Exception, after: int = 0) -> Callable[..., Any]:
    """`train_population`, the result of whose call number `after` is lost, and of all later ones."""
    calls = [0]

    def train_population(*args: Any, **kwargs: Any) -> Any:
        records = ORIGINAL(*args, **kwargs)
        calls[0] += 1
        if calls[0] > after:
            raise error
        return records

    return train_population


def replicas() -> list[Replica]:
    return [Replica({"lr": 1e-3 * (k + 1)}, k, stopping_after(3 + k)) for k in range(3)]


def stops(cell: Any) -> list[tuple[str, float]]:
    problem, data = load(cell.problem, SOURCE, "cpu")
    return [(r.status, r.cost) for r in Trainer(cell, problem, data).train(replicas(), 600)]


@pytest.mark.parametrize("error", [RuntimeError("vmap can't"), MemoryError("no more")])
def test_observers_of_a_training_that_is_executed_again_have_seen_nothing(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pruner that has seen the same training before would compare it with itself."""
    expected = stops(cell_for(TINY, "sgd", "eager", evaluations=6))
    assert [cost for _, cost in expected] == [300, 400, 500]
    monkeypatch.setattr(module, "train_population", failing(error))
    assert stops(cell_for(TINY, "sgd", "population", evaluations=6)) == expected


def test_a_fallback_is_remembered_before_anything_is_trained_that_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_population", failing(RuntimeError("vmap can't")))
    cell = cell_for(TINY, "adam", "population")
    problem, data = load(cell.problem, SOURCE, "cpu")
    notes: list[str] = []
    records = Trainer(cell, problem, data, "", notes.append).train([Replica({"lr": 1e-3}, 0)], 300)
    first = next(records)
    assert notes == ["RuntimeError: vmap can't"]
    monkeypatch.setattr(module, "train_population", lambda *_, **__: pytest.fail("together again"))
    again = Trainer(cell, problem, data, notes[0], notes.append)
    assert (again.execution, again.note) == ("eager", notes[0])
    assert facts(next(again.train([Replica({"lr": 1e-3}, 0)], 300))) == facts(first)
    assert len(notes) == 1


def test_a_note_of_a_fallback_says_nothing_of_what_was_planned_eagerly() -> None:
    cell = cell_for(TINY, "adam", "eager")
    problem, data = load(cell.problem, SOURCE, "cpu")
    assert Trainer(cell, problem, data, "an older note").note == ""


@pytest.mark.parametrize("after", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_an_interrupted_cell_goes_on_as_it_would_have(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Populations fail from the first, second or last company on; after the interruption nothing would fail."""
    choices: dict[str, Any] = {"optimizers": ["adam"], "execution": "population", "tuning_worth": 4}
    with monkeypatch.context() as patched:
        patched.setattr(module, "train_population", failing(RuntimeError("once"), after))
        run_tiny(tmp_path / "whole", **choices)
        # Of a cell that was killed after the first training that was executed again, this is left.
        patched.setattr(module, "train_population", failing(RuntimeError("once"), after))
        written = 0

        def crashing(of: str, allowed: int) -> None:
            original = getattr(CellStore, of)

            def write(self: CellStore, *args: Any) -> None:
                nonlocal written
                written += 1
                if written > allowed:
                    raise Crash
                original(self, *args)

            patched.setattr(CellStore, of, write)

        crashing(*(("append_trial", 2 * after + 1) if after < 2 else ("write_run", 1)))
        with pytest.raises(Crash):
            run_tiny(tmp_path / "killed", **choices)
    run_tiny(tmp_path / "killed", **choices)
    assert_same_results(tmp_path / "killed", tmp_path / "whole")
    (note,) = (tmp_path / "killed").glob("cells/*/fallback.json")
    assert unseal(json.loads(note.read_text())) == {"execution": "eager", "note": "RuntimeError: once"}


def test_a_cell_without_a_fallback_has_no_note(tmp_path: Path) -> None:
    run_tiny(tmp_path / "run", optimizers=["adam"], execution="population")
    assert not list((tmp_path / "run").glob("cells/*/fallback.json"))


class Broken(Tiny):
    """Starts nowhere for half of the seeds."""

    def model(self) -> Any:
        model = super().model()
        if torch.rand(()) < 0.5:
            model.position.data.fill_(torch.nan)
        return model


def test_state_of_replicas_that_never_stepped_is_none() -> None:
    """Whose start is not finite: as one by one, where no optimizer ever had a state."""
    for execution in ("eager", "population"):
        cell = cell_for(f"{Path(__file__).resolve()}:Broken", "adam", execution)
        records = trained(cell, [1e-3] * 10)
        assert {record.status for record in records} == {"ok", "diverged"}
        for record in records:
            assert (record.optimizer_state_bytes > 0) == (record.steps > 0) == (record.status == "ok")
