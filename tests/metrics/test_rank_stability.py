"""Rankings under another target, budget, set of seeds or problems."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.metrics.rank_stability import rank_stability
from tests.support.frames import PROBLEMS, make
from tests.support.studies import Study, study


def stability(found: Study, times: pd.DataFrame | None = None) -> pd.DataFrame:
    return rank_stability(found.runs, found.curves, found.cells, times)


def order(table: pd.DataFrame, variation: str, level: str = "") -> list[str]:
    part = table[(table["variation"] == variation) & (table["level"] == level)]
    return part.sort_values("rank")["optimizer"].tolist()


def test_leaving_out_a_seed_or_a_problem() -> None:
    outcomes = {
        ("a", 10, "adam"): [1.0, 1.0, 9.0], ("a", 10, "sgd"): [2.0, 0.5, 5.0],
        ("b", 10, "adam"): [1.0, 1.0, 1.0], ("b", 10, "sgd"): [3.0, 3.0, 3.0],
        ("c", 10, "adam"): [5.0, 5.0, 5.0], ("c", 10, "sgd"): [3.0, 3.0, 3.0],
    }  # fmt: skip
    table = stability(study(outcomes))
    assert order(table, "none") == ["adam", "sgd"]
    assert order(table, "problem", "without b") == ["adam", "sgd"]
    assert order(table, "problem", "without c") == ["adam", "sgd"]
    assert order(table, "seed", "without seed 0") == ["sgd", "adam"]
    assert order(table, "seed", "without seed 2") == ["adam", "sgd"]
    tau = table.set_index(["variation", "level"])["tau"].groupby(level=[0, 1]).first()
    assert tau["seed", "without seed 0"] == -1
    assert tau["seed", "without seed 2"] == 1
    assert math.isnan(tau["problem", "without a"]) or tau["problem", "without b"]


def test_tau_is_kendalls() -> None:
    frames = make(seeds=3)
    table = rank_stability(frames.runs, frames.curves, frames.cells)
    as_it_is = table[table["variation"] == "none"].set_index("optimizer")["mean_rank"]
    at_the_end = table[table["level"] == "100 % of the budget"].set_index("optimizer")["mean_rank"]
    for (variation, _), part in table.groupby(["variation", "level"]):
        base = at_the_end if variation == "budget" else as_it_is
        other = part.set_index("optimizer")["mean_rank"]
        expected = stats.kendalltau(base, other[base.index]).statistic
        assert part["tau"].iloc[0] == pytest.approx(expected)
    assert set(table["variation"]) == {"none", "budget", "seed", "problem"}
    assert set(table.loc[table["variation"] == "problem", "level"]) == {f"without {name}" for name in PROBLEMS}


def test_budgets_rank_by_the_last_loss_within_them() -> None:
    """At half of the budget adam is halfway from 10 to 1, sgd from 10 to 2; a diverged run isn't yet lost."""
    found = study({"adam": [1.0, 1.0], "sgd": [2.0, 2.0]})
    half = (found.curves["optimizer"] == "sgd") & (found.curves["step"] == 5)
    found.curves.loc[half, "valid_loss"] = 3.0
    table = stability(found)
    assert order(table, "budget", "50 % of the budget") == ["sgd", "adam"]
    assert order(table, "none") == ["adam", "sgd"]
    assert "25 % of the budget" not in set(table["level"]), "the start alone says nothing"
    found.curves["schedule"] = found.runs["schedule"] = found.cells["schedule"] = "cosine"
    note = stability(found)["note"].iloc[0]
    assert "budget: no evaluations during a run at a constant learning rate" in note


def test_budgets_are_compared_by_one_loss() -> None:
    """Test metrics that order the other way round don't make the ranking look as if it moved with the budget."""
    found = study({"adam": [1.0, 1.0], "sgd": [2.0, 2.0]})
    found.runs["test_metric"] = -found.runs["valid_loss"]
    table = stability(found)
    assert order(table, "none") == ["sgd", "adam"]
    budgets = table[table["variation"] == "budget"]
    assert set(budgets["level"]) == {"50 % of the budget", "75 % of the budget", "100 % of the budget"}
    assert (budgets["tau"] == 1).all()
    assert set(budgets["beside"]) == {"validation loss at 100 % of the budget"}
    assert set(table.loc[table["variation"] != "budget", "beside"]) == {"the ranking as it is"}


def test_runs_that_failed_at_their_start_or_left_no_curve_rank_last_at_every_budget() -> None:
    found = study({"adam": [1.0, 1.0], "sgd": [None, None], "nadam": [None, None]})
    gone = (found.curves["optimizer"] == "sgd") | ((found.curves["optimizer"] == "nadam") & (found.curves["step"] > 0))
    table = stability(Study(found.runs, found.trials, found.curves[~gone], found.cells))
    at_half = table[table["level"] == "50 % of the budget"].set_index("optimizer")["rank"]
    assert at_half["adam"] == 1
    assert min(at_half["sgd"], at_half["nadam"]) > 1


def test_targets_rank_by_cost_with_a_miss_last() -> None:
    found = study({"adam": [1.0, 1.0], "sgd": [2.0, 2.0]})
    keys = found.runs[["cell_id", "problem", "batch_size", "device", "schedule", "optimizer", "seed", "tuned"]]
    early = keys.assign(target_name="early", reached=True, cost_to_target=[50.0, 60, 20, 30], censored_at=100.0)
    late = keys.assign(
        target_name="late", reached=[True, True, False, False], cost_to_target=[90.0, 95, np.nan, np.nan]
    )
    never = keys.assign(target_name="never", reached=False, cost_to_target=np.nan)
    times = pd.concat([early, late, never], ignore_index=True)
    table = stability(found, times.astype({"reached": "boolean"}))
    assert order(table, "target", "early") == ["sgd", "adam"]
    assert order(table, "target", "late") == ["adam", "sgd"]
    assert "never" not in set(table["level"])


def test_what_can_not_be_varied() -> None:
    found = study({"adam": [1.0], "sgd": [2.0]})
    note = stability(found)["note"].iloc[0]
    assert "seed: the only seed cannot be left out" in note
    assert "problem: the only problem cannot be left out" in note
    assert "target: no run has reached a target" in note
    assert stability(study({"adam": [1.0]}))["tau"].iloc[0] == 1
    empty = study({"adam": [1.0]})
    empty.runs = empty.runs.iloc[:0]
    assert stability(empty).empty
