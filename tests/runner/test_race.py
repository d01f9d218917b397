"""A race from end to end: within its budget, resumed after any part, and read by the frames."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.metrics.audit import audit
from optbench.metrics.best_of_k import best_of_k
from optbench.metrics.tuning_budget import Budget, apply_budget, choose_budgets, list_trials
from tests.support.passes import PASSES
from tests.support.same_results import assert_same_results
from tests.support.tiny import EXPLODING, RAISING, TINY, TINY_NET, run_tiny

CHOICES: dict[str, Any] = {
    "problems": [TINY, TINY_NET], "optimizers": ["sgd", "adam", "lbfgs"], "batch_sizes": [10], "tuning_pruner": "race",
    "tuning_worth": 4, "seeds": 2, "evaluations": 8, "run_budget": "480examples",
}  # fmt: skip


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    return run_tiny(tmp_path_factory.mktemp("race") / "run", **CHOICES)


def test_it_spends_its_budget_and_not_more(race: optbench.Results) -> None:
    cells = race.cells.set_index("optimizer")
    assert (cells["status"] == "ok").all()
    assert (cells["tuning_cost"] <= cells["tuning_budget"]).all()
    first_order = cells.drop(index="lbfgs")
    assert (first_order["tuning_cost"] >= 0.95 * first_order["tuning_budget"]).all()
    charged = race.trials.groupby("cell_id")["cost"].sum()
    assert charged.to_dict() == race.cells.set_index("cell_id")["tuning_cost"].to_dict()


def test_many_points_are_tried_and_few_reach_the_end_all_on_one_seed(race: optbench.Results) -> None:
    for _, trials in race.trials.groupby("cell_id"):
        assert trials["seed"].nunique() == 1
        assert trials["lr"].is_unique
        assert len(trials) >= 9
        assert 1 <= (trials["status"] == "ok").sum() <= 4
    stopped = race.trials[race.trials["status"].isin(["stopped", "skipped"])]
    reasons = (
        r"after evaluation [124], other trials were better|a step needs more than the share of the budget up to .*"
    )
    assert stopped["error"].str.fullmatch(reasons).all()
    assert not stopped.query("optimizer != 'lbfgs'")["error"].str.startswith("a step").any()
    findings = audit(race.trials, race.runs, race.cells)
    assert "reused_seed" not in set(findings["finding"])
    assert "few_trials" not in set(findings.query("optimizer != 'lbfgs'")["finding"])


def test_a_tuned_run_has_the_chosen_rate(race: optbench.Results) -> None:
    for cell in race.cells.to_dict("records"):
        complete = race.trials.query("cell_id == @cell['cell_id'] and status == 'ok'")
        assert complete.loc[complete["valid_loss"].idxmin(), "lr"] == cell["lr_tuned"]


@pytest.mark.parametrize("kept", [0, 1, 5, 11, 13])
def test_it_continues_after_any_part_to_the_same_numbers(race: optbench.Results, tmp_path: Path, kept: int) -> None:
    folder = tmp_path / "run"
    shutil.copytree(race.directory.folder, folder)
    _cut(folder, kept)
    run_tiny(folder, **CHOICES)
    assert_same_results(folder, race.directory.folder)


def test_line_searches_that_meet_their_limits_are_never_continued(tmp_path: Path) -> None:
    """In runs of a few steps of several gradients each; the part after an undone step would not be the same again."""
    short = {**CHOICES, "optimizers": ["lbfgs[max_iter=4]"], "run_budget": "200examples"}
    whole = run_tiny(tmp_path / "whole", **short)
    assert set(whole.cells["status"]) == {"ok"}
    assert (whole.cells["tuning_cost"] <= whole.cells["tuning_budget"]).all()
    assert {"skipped", "ok"} <= set(whole.trials["status"])
    for kept in (2, 5, 8, 11):
        folder = tmp_path / f"{kept}"
        shutil.copytree(whole.directory.folder, folder)
        _cut(folder, kept)
        run_tiny(folder, **short)
        assert_same_results(folder, whole.directory.folder)


def _cut(folder: Path, kept: int) -> None:
    """Leaves the first parts of each tuning, and a torn line."""
    for cell in folder.glob("cells/*"):
        lines = (cell / "trials.jsonl").read_text().splitlines(keepends=True)
        (cell / "trials.jsonl").write_text("".join(lines[:kept]) + "".join(lines[kept : kept + 1])[:20])
        (cell / "result.json").unlink()
        shutil.rmtree(cell / "runs")


def test_trials_that_diverge_or_raise_end_the_race(tmp_path: Path) -> None:
    choices = {**CHOICES, "problems": [TINY], "optimizers": [EXPLODING, RAISING, f"{PASSES}:Limited"]}
    results = run_tiny(tmp_path / "run", **choices)
    cells = results.cells.set_index("optimizer")
    assert (cells["tuning_cost"] <= cells["tuning_budget"]).all()
    assert set(cells["status"]) == {"ok", "error"}


def test_tables_of_trials_take_a_race_as_a_whole(race: optbench.Results) -> None:
    """Which trial came first says nothing: only the whole race finds its rate, and the default needs no tuning."""
    assert best_of_k(race.trials, race.cells).empty
    tried = list_trials(race.trials, race.runs, race.cells)
    first, found = tried[tried["number"] == 1], tried[tried["number"] > 1].set_index("cell_id")
    assert set(first["trial"]) == {0}
    assert set(first["cell_id"]) == set(race.cells["cell_id"])
    chosen = race.cells.set_index("cell_id")
    tuned = chosen[chosen["lr_tuned"] != chosen["lr_default"]]
    assert found["lr"].to_dict() == chosen["lr_tuned"].to_dict()
    assert set(found["number"]) == {CHOICES["tuning_worth"]}  # all have the same compute
    assert set(found["length"]) == {CHOICES["tuning_worth"]}
    assert [budget.trials for budget in choose_budgets(race.trials, race.cells)] == [1, CHOICES["tuning_worth"]]
    for trials, runs in ((1, "default"), (None, "tuned")):
        applied = apply_budget(tried, race.cells, Budget(trials=trials)).set_index("cell_id")
        assert set(applied.loc[tuned.index, "runs"]) == {runs}


def test_at_worth_6_the_recommendation_is_the_point_with_the_lower_mean_over_two_seeds(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", **{**CHOICES, "problems": [TINY], "optimizers": ["sgd"], "tuning_worth": 6})
    [cell] = results.cells.to_dict("records")
    complete = results.trials[results.trials["status"] == "ok"]
    points = complete.groupby("lr")["valid_loss"].agg(["size", "mean"])
    assert complete["seed"].nunique() >= 2
    finalists = points[points["size"] == points["size"].max()]
    assert len(finalists) == 2
    assert cell["lr_tuned"] == finalists["mean"].idxmin()
    tried = list_trials(results.trials, results.runs, results.cells)
    assert cell["lr_tuned"] in set(tried["lr"])
