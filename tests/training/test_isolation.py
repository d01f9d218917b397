"""State that outlives a training is found, however late it shows, and what changes no step is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.runner import cell as runner
from optbench.training import isolation
from tests.support import stateful
from tests.support.tiny import TINY, TINY_NET

FILE = str(Path(stateful.__file__))
WORDS = "keeps state between trainings"


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a process in which nothing was trained; the file is loaded again under a path of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(Path(FILE).read_text())
    for place, name, empty in ((isolation, "_first", {}), (isolation, "_found", set()), (runner, "_REPEATED", set())):
        monkeypatch.setattr(place, name, empty)


def run(*optimizers: str, **choices: Any) -> Any:
    choices = {"problems": [TINY_NET], "seeds": 2, "tuning_worth": 0, "run_budget": "4epochs", **choices}
    return optbench.run(
        optimizers=[f"mine.py:{name}" for name in optimizers], batch_sizes=[10], engine="serial", outputs=False,
        name="runs", **choices,
    )  # fmt: skip


def remarked(found: Any) -> set[str]:
    """Optimizers all of whose runs have the remark."""
    runs = found.runs.assign(remarked=found.runs["error"].str.contains(WORDS))
    return set(runs.groupby("optimizer")["remarked"].all().loc[lambda every: every].index)


@pytest.mark.parametrize("name", ["LateCounter", "LateInTraining"])
@pytest.mark.parametrize("execution", ["eager", "population"])
def test_state_that_shows_late_is_found(name: str, execution: str) -> None:
    found = run(name, tuning_worth=3, execution=execution)
    assert remarked(found) == {name}
    assert set(found.runs["status"]) == {"ok"}
    [error] = set(found.runs["error"])
    assert f"the code of optimizer {name} or of problem tiny_net {WORDS}" in error
    assert "reset = 'module:function'" in error


@pytest.mark.parametrize(("worth", "found"), [(0, set()), (4, {"ResetInConstructor"})])
def test_a_race_finds_state_that_each_constructor_resets(worth: int, found: set[str]) -> None:
    """Its trials are trained by turns; without pauses, the state is reset right before the steps begin."""
    assert remarked(run("ResetInConstructor", tuning_worth=worth, execution="eager")) == found


def test_cells_after_the_one_in_which_it_was_found_have_the_remark_too() -> None:
    """After 200 steps the counter changes nothing more, so the second cell repeats its steps."""
    found = run("LateCounter", problems=[TINY_NET, TINY])
    assert found.runs["error"].str.contains(WORDS).all()


def test_the_own_optimizer_of_a_group_is_found_too() -> None:
    group = {"parameters": ["*.bias"], "class": "mine.py:LateCounter"}
    found = optbench.run(
        problems=[TINY_NET], optimizers=["pair"], optimizer={"pair": {"base": "sgd", "groups": {"rest": group}}},
        batch_sizes=[10], engine="serial", outputs=False, name="pair", tuning_worth=0, seeds=4, run_budget="6epochs",
    )  # fmt: skip
    assert remarked(found) == {"pair"}


@pytest.mark.parametrize("execution", ["eager", "population"])
@pytest.mark.parametrize("name", ["Cached", "Noisy", "Exploding"])
def test_what_changes_no_step_is_not_accused(name: str, execution: str) -> None:
    found = run(name, tuning_worth=3, execution=execution)
    assert not found.runs["error"].str.contains(WORDS).any()


def test_only_one_training_is_repeated_and_only_for_own_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    from optbench.training.execution import trainer

    original, trained = trainer.Course, []
    monkeypatch.setattr(trainer, "Course", lambda cell, *a, **k: trained.append(cell.key) or original(cell, *a, **k))
    run("Cached", problems=[TINY_NET, TINY], execution="eager", seeds=3)
    assert len(trained) == 2 * 3 + 1
    optbench.run(
        problems=[TINY_NET], optimizers=["sgd"], batch_sizes=[10], engine="serial", outputs=False, name="sgd", seeds=3,
        tuning_worth=0, execution="eager",
    )  # fmt: skip
    assert len(trained) == 2 * 3 + 1 + 3
