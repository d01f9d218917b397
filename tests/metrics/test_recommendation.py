"""Recommendations: regrets by hand, budgets, and sentences that say what their rows say."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.formatting import format_number
from optbench.metrics.recommendation import Budget, choose_budgets, recommendation
from tests.support.frames import make
from tests.support.studies import Study, study

TRIALS = {
    ("a", 10, "adam"): [4.0, 2.0, 2.0], ("a", 10, "sgd"): [2.0, 1.0, 3.0],
    ("b", 10, "adam"): [1.0, 1.0, 0.5], ("b", 10, "sgd"): [4.0, None, 1.0],
    ("c", 10, "adam"): [1.0, 1.0, 1.0], ("c", 10, "sgd"): [2.0, 2.0, 2.0],
}  # fmt: skip


def of(found: Study, *budgets: Budget) -> pd.DataFrame:
    return recommendation(found.trials, found.runs, found.cells, budgets or None)


@pytest.fixture
def found() -> Study:
    return study({key: [1.0, 1.0] for key in TRIALS}, trials=TRIALS)


def test_regrets_by_hand(found: Study) -> None:
    table = of(found, Budget(trials=2)).query("scope == 'all tasks'").set_index("optimizer")
    adam, sgd = np.log([2 / 1, 1 / 0.5, 1 / 1]), np.log([1 / 1, 4 / 0.5, 2 / 1])
    for name, regrets in (("adam", adam), ("sgd", sgd)):
        low, high = stats.t.interval(0.95, 2, regrets.mean(), stats.sem(regrets))
        row = table.loc[name]
        assert row["expected_regret"] == pytest.approx(math.expm1(regrets.mean()))
        assert row["regret_low"] == pytest.approx(math.expm1(max(low, 0)))
        assert row["regret_high"] == pytest.approx(math.expm1(high))
    assert table["recommended"].to_dict() == {"adam": True, "sgd": False}
    assert table.loc["sgd", "not_told_apart"]
    assert table.loc["adam", "lr_start"] == pytest.approx((0.01 * 0.001 * 0.001) ** (1 / 3))
    assert table.loc["adam", ["lr_low", "lr_high"]].tolist() == [0.001, 0.01]


@pytest.mark.parametrize("batches", [(10, 10), (20, 100)])
def test_who_ran_other_tasks_is_not_recommended_against_others(batches: tuple[int, int]) -> None:
    """As many tasks are not the same tasks: of adam and nadam neither has run all."""
    own = {("a", batches[0], "adam"): [1.0], ("b", batches[1], "nadam"): [1.0]}
    common = {("c", 10, "adam"): [2.0], ("c", 10, "nadam"): [1.0]}
    found = study({key: [1.0] for key in own | common}, trials=own | common)
    table = of(found).query("scope == 'all tasks'")
    assert not table["recommended"].any()
    assert table[["expected_regret", "regret_low", "regret_high"]].isna().all(axis=None)


def test_problems_weigh_alike_however_many_batch_sizes_they_have() -> None:
    trials = {
        ("a", batch, name): losses for batch in (10, 20, 40) for name, losses in (("adam", [1.0]), ("sgd", [2.0]))
    }
    trials |= {("b", 10, "adam"): [8.0], ("b", 10, "sgd"): [1.0]}
    found = study({key: [1.0] for key in trials}, trials=trials)
    table = of(found).query("scope == 'all tasks'").set_index("optimizer")
    assert table["expected_regret"].to_dict() == pytest.approx({
        "sgd": math.expm1(math.log(2) / 2), "adam": math.expm1(math.log(8) / 2)
    })  # fmt: skip


def test_seconds_and_memory_limit_what_fits(found: Study) -> None:
    """Each trial takes 100 cost at 10 steps of 1 ms a run of 100: 0.01 s."""
    by_time, by_count = (
        of(found, budget).drop(columns=["trials", "seconds", "sentence"])
        for budget in (Budget(seconds=0.0201), Budget(trials=2))
    )
    pd.testing.assert_frame_equal(by_time, by_count)
    adam = found.runs["optimizer"] == "adam"
    found.runs.loc[adam, "peak_memory_bytes"] = 1e9
    table = of(found, Budget(memory_bytes=1e6)).query("scope == 'all tasks'").set_index("optimizer")
    assert table["feasible_tasks"].to_dict() == {"adam": 0, "sgd": 3}
    assert table.loc["sgd", "recommended"]
    assert math.isnan(table.loc["adam", "expected_regret"])
    found.runs["peak_memory_bytes"] = math.nan
    assert not of(found, Budget(memory_bytes=1e6))["recommended"].any(), "an unknown memory fits nothing"


def test_who_failed_somewhere_is_not_recommended_for_all() -> None:
    trials = TRIALS | {("a", 10, "adam"): [None, None, None]}
    found = study({key: [1.0] for key in trials}, trials=trials)
    table = of(found, Budget(trials=3)).query("scope == 'all tasks'").set_index("optimizer")
    assert table["recommended"].to_dict() == {"sgd": True, "adam": False}
    assert table.loc["adam", "feasible_tasks"] == 2
    partial = study({key: [1.0] for key in TRIALS}, trials=TRIALS)
    partial.trials = partial.trials[~((partial.trials["optimizer"] == "adam") & (partial.trials["problem"] == "c"))]
    table = of(partial, Budget(trials=3)).query("scope == 'all tasks'").set_index("optimizer")
    assert table["recommended"].to_dict() == {"sgd": True, "adam": False}, "adam hasn't run problem c"


def test_nothing_to_recommend_says_why() -> None:
    found = study({"adam": [None]}, trials={"adam": [None, None]})
    table = of(found)
    assert not table["recommended"].any()
    first = table.query("scope == 'all tasks'")["sentence"].iloc[0]
    assert first.startswith("With no tuning: nothing to recommend for all tasks.")
    assert "adam can be judged on 0 of 1 (no finite loss within the budget on 1 task)" in first
    assert recommendation(found.trials.iloc[:0], found.runs, found.cells).empty
    negative = study({"adam": [1.0]}, trials={"adam": [-1.0, -2.0]})
    assert not of(negative)["recommended"].any(), "a ratio of negative losses has no meaning"


def test_one_problem_has_no_interval() -> None:
    table = of(study({"adam": [1.0], "sgd": [1.0]})).query("scope == 'all tasks'")
    assert table[["regret_low", "regret_high"]].isna().all().all()
    assert "interval" not in table["sentence"].iloc[0]
    assert (table["not_told_apart"].isna() == ~table["recommended"]).all(), "without an interval nobody knows"


def test_budgets_of_the_results() -> None:
    frames = make(trials=12)
    assert choose_budgets(frames.trials, frames.cells) == [Budget(1), Budget(6), Budget(12)]
    assert choose_budgets(frames.trials.iloc[:0], frames.cells) == []


def test_an_interrupted_cell_shrinks_no_budget(found: Study) -> None:
    name = found.cells["cell_id"].iloc[0]
    found.cells.loc[0, "status"] = "missing"
    found.trials = found.trials[(found.trials["cell_id"] != name) | (found.trials["trial"] == 0)]
    assert choose_budgets(found.trials, found.cells) == [Budget(1), Budget(3)]
    table = of(found, Budget(trials=3)).query("scope == 'all tasks'").set_index("optimizer")
    assert table.loc["adam", "note"] == "tuned for less than the budget on 1 task"
    assert table["recommended"].to_dict() == {"sgd": True, "adam": False}
    assert "Cannot be judged: adam." in table.loc["sgd", "sentence"]


def test_a_budget_beyond_the_data_has_no_answer(found: Study) -> None:
    """Three trials a cell, 0.03 s: what five would have found, or a minute, isn't known."""
    for beyond in (Budget(trials=5), Budget(seconds=60.0), Budget(trials=5, seconds=60.0)):
        table = of(found, beyond)
        assert not table["recommended"].any()
        assert table["expected_regret"].isna().all()
        first = table["sentence"].iloc[0]
        assert "nothing to recommend" in first
        assert "(tuned for less than the budget on 3 tasks)" in first
    # One limit that is reached is enough: the other one could then buy nothing.
    for within in (Budget(trials=3), Budget(trials=3, seconds=60.0), Budget(seconds=0.039), Budget(memory_bytes=1e9)):
        assert of(found, within)["recommended"].any(), within


def test_reasons_are_those_that_hold(found: Study) -> None:
    found.runs["step_ms"] = math.nan
    assert "(times unknown on 3 tasks)" in of(found, Budget(seconds=0.02))["sentence"].iloc[0]
    found.runs["peak_memory_bytes"] = [math.nan] * 6 + [1e9] * 6
    table = of(found, Budget(memory_bytes=1e6)).query("scope == 'all tasks'")
    assert set(table["note"]) <= {"memory unknown on 1 task; needs more memory on 2 tasks",
                                  "memory unknown on 2 tasks; needs more memory on 1 task"}  # fmt: skip


def test_rows_that_are_there_twice_change_nothing(found: Study) -> None:
    once = of(found)
    found.trials, found.runs, found.cells = (
        pd.concat([part, part], ignore_index=True) for part in (found.trials, found.runs, found.cells)
    )
    pd.testing.assert_frame_equal(of(found), once)


def test_an_interval_that_would_reach_below_zero_has_one_end_in_words(found: Study) -> None:
    table = of(found, Budget(trials=2)).query("scope == 'all tasks'").set_index("optimizer")
    assert table.loc["adam", "regret_low"] == 0
    assert "(95 % interval up to " in table.loc["adam", "sentence"]


def test_every_figure_of_a_sentence_stands_in_its_row() -> None:
    frames = make()
    table = recommendation(frames.trials, frames.runs, frames.cells)
    spoken = table[table["sentence"] != ""]
    assert len(spoken) == table.groupby(["trials", "scope"]).ngroups
    for row in spoken[spoken["recommended"]].to_dict("records"):
        sentence = row["sentence"]
        same = table[(table["trials"] == row["trials"]) & (table["scope"] == row["scope"])]
        assert row["expected_regret"] == same["expected_regret"].min()
        known = {str(row["trials"]), "95", *re.findall(r"\d[\d.]*", row["scope"])}
        known |= {format_number(row[name], 3, True) for name in ("lr_start", "lr_low", "lr_high")}
        known |= {format_number(100 * row[name], 3, True) for name in ("expected_regret", "regret_low", "regret_high")}
        known |= {str(row[name]) for name in ("problems", "tasks")}
        said = sentence.replace(row["scope"], "")
        for figure in re.findall(r"\d[\d.,e-]*", said):
            assert figure.rstrip(".,") in known, (figure, sentence)
        assert row["optimizer"] in sentence
        judged = same[same["expected_regret"].isna()]["optimizer"].tolist()
        assert ("Cannot be judged: " in sentence) == bool(judged)
        told = sentence.partition("Not significantly worse: ")[2].rstrip(".")
        assert set(filter(None, told.split(", "))) == set(same.loc[same["not_told_apart"].fillna(False), "optimizer"])
