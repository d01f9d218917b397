"""Recommendations: regrets by hand, budgets, and sentences that say what their rows say."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.formatting import format_number
from optbench.metrics.leaderboard import leaderboard
from optbench.metrics.recommendation import (
    Budget,
    choose_budgets,
    explain_large_budget,
    explain_small_budget,
    recommendation,
)
from optbench.metrics.tables import all_tables
from optbench.metrics.tuning_budget import list_trials
from optbench.metrics.verdicts import verdicts
from optbench.reporting.standings import standings
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
    assert table.loc["adam", ["lr_start", "lr_low", "lr_high"]].tolist() == [0.001, 0.001, 0.01], (
        "a rate that was tried"
    )
    assert set(table["rests_on"]) == {"single trials"}
    assert "This rests on single trials" in table.loc["adam", "sentence"]


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
        ("a", batch, name): [first, 1.0] for batch in (10, 20, 40) for name, first in (("adam", 2.0), ("sgd", 4.0))
    }
    trials |= {("b", 10, "adam"): [16.0, 1.0], ("b", 10, "sgd"): [2.0, 1.0]}
    found = study({key: [1.0] for key in trials}, trials=trials)
    table = of(found, Budget(trials=1)).query("scope == 'all tasks'").set_index("optimizer")
    assert table["expected_regret"].to_dict() == pytest.approx({
        "sgd": math.expm1(math.log(4 * 2) / 2), "adam": math.expm1(math.log(2 * 16) / 2)
    })  # fmt: skip


def test_seconds_and_memory_limit_what_fits(found: Study) -> None:
    """Each trial takes 100 cost at 10 steps of 1 ms a run of 100: 0.01 s."""
    by_time, by_count = (
        of(found, budget).drop(columns=["trials", "tuning_worth", "seconds", "sentence"])
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
    assert not of(negative, Budget(1))["recommended"].any(), "a ratio of negative losses has no meaning"
    assert of(negative, Budget(2))["recommended"].all(), "a final run is ranked by its metric"


def test_one_problem_has_no_interval_of_regrets() -> None:
    table = of(study({"adam": [1.0], "sgd": [1.0]}), Budget(1)).query("scope == 'all tasks'")
    assert table[["regret_low", "regret_high"]].isna().all().all()
    assert "interval" not in table["sentence"].iloc[0]
    assert (table["not_told_apart"].isna() == ~table["recommended"]).all(), "without an interval nobody knows"


# An own CSV regression: single trials say momentum, fresh seeds say Adam, at another batch size.
CSV = {
    ("csv", 10, "momentum"): [0.31, 0.30, 0.32, 0.33, 0.29, 0.30, 0.31, 0.30],
    ("csv", 10, "adam"): [0.25, 0.26, 0.24, 0.25, 0.23, 0.25, 0.26, 0.25],
    ("csv", 40, "momentum"): [0.34, 0.35, 0.33, 0.36, 0.34, 0.35, 0.34, 0.33],
    ("csv", 40, "adam"): [0.18, 0.19, 0.18, 0.17, 0.18, 0.19, 0.18, 0.20],
}
CSV_TRIALS = {key: [0.9, 0.2, 0.15 if key[2] == "momentum" else 0.3, 0.6] for key in CSV}


def test_the_full_budget_rests_on_fresh_seeds_as_the_leaderboard_does() -> None:
    found = study(CSV, trials=CSV_TRIALS)
    table = of(found).query("trials == 4")
    whole = table[table["scope"] == "all tasks"].set_index("optimizer")
    best = whole.loc["adam"]
    assert best["recommended"]
    assert best[["batch_size", "lr_start", "n_seeds"]].tolist() == [40, 0.01, 8], "the cell with the best median"
    assert best["value"] == pytest.approx(np.median(CSV["csv", 40, "adam"]))
    low, high = stats.t.interval(0.95, 7, np.mean(CSV["csv", 40, "adam"]), stats.sem(CSV["csv", 40, "adam"]))
    assert best[["mean_low", "mean_high"]].tolist() == pytest.approx([low, high])
    assert whole["not_told_apart"].to_dict() == {"adam": False, "momentum": False}
    assert "batch size 40, learning rate 0.01" in best["sentence"]
    assert "It beats significantly, there and on the same seeds: momentum." in best["sentence"]
    assert "Second is momentum at batch size 10: 0.3050." in best["sentence"]
    board, judged = leaderboard(found.runs, found.cells), verdicts(found.runs, found.cells, "adam")
    assert set(judged["verdict"]) == {"loss"}
    for scope, part in table[table["scope"] != "all tasks"].groupby("scope"):
        first = board[(board["rank"] == 1) & (board["batch_size"] == int(re.findall(r"batch (\d+)", scope)[0]))]
        assert part.loc[part["recommended"], "optimizer"].tolist() == first["optimizer"].tolist()
        assert part.loc[part["recommended"], "lr_start"].tolist() == first["lr"].tolist()
    half = of(found, Budget(trials=3)).query("scope == 'all tasks' and recommended")
    assert set(half["rests_on"]) == {"fresh seeds"}, "the chosen trials are the same"
    half = of(found, Budget(trials=1)).query("scope == 'all tasks' and recommended")
    assert set(half["rests_on"]) == {"single trials"}, "there are no runs at the default rate"


def test_medians_at_the_default_are_compared_on_the_seeds_of_the_default_runs() -> None:
    """Both optimizers end alike on each seed; one was selected at its default and has it on all seeds."""
    losses = [0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1]
    found = study({"adam": losses, "sgd": losses}, trials={"adam": [0.2, 0.9], "sgd": [0.3, 0.1]})
    default = found.runs[found.runs["seed"] < 3].assign(tuned=False, lr=0.001)
    found.runs = pd.concat([found.runs, default], ignore_index=True)
    table = of(found, Budget(trials=1)).query("scope == 'all tasks'").set_index("optimizer")
    assert table["value"].to_dict() == {"adam": 0.5, "sgd": 0.5}
    assert table["n_seeds"].to_dict() == {"adam": 3, "sgd": 3}
    assert table["expected_regret"].to_dict() == {"adam": 0.0, "sgd": 0.0}
    whole = of(found, Budget(trials=2)).query("scope == 'all tasks'").set_index("optimizer")
    assert whole["n_seeds"].to_dict() == {"adam": 7, "sgd": 7}, "tuned runs alone have all seeds"


def test_no_tuning_rests_on_the_runs_at_the_default_rate() -> None:
    found = study(CSV, trials=CSV_TRIALS)
    worse = found.runs.assign(tuned=False, lr=0.001, test_metric=2 * found.runs["test_metric"])
    found.runs = pd.concat([found.runs, worse], ignore_index=True)
    found.cells["others_tuned"] = "eps=1e-5"
    best = of(found, Budget(trials=1)).query("scope == 'all tasks' and recommended").iloc[0]
    assert best[["rests_on", "optimizer", "lr_start", "others"]].tolist() == ["fresh seeds", "adam", 0.001, ""]
    assert "eps" not in best["sentence"]
    assert of(found, Budget(trials=4))["others"].eq("eps=1e-5").any()
    assert best["value"] == pytest.approx(0.36)


def test_nothing_was_tuned() -> None:
    found = study({"adam": [3.46], "sgd": [1.0]}, trials={"adam": []})
    found.runs, found.cells, found.trials = (
        frame[frame["optimizer"] == "adam"] for frame in (found.runs, found.cells, found.trials)
    )
    found.runs = found.runs.assign(tuned=False, lr=0.001)
    table = of(found)
    assert table["recommended"].all()
    assert table["sentence"].iloc[0] == (
        "Nothing was tuned: use adam, at batch size 10, learning rate 0.001. Its test metric on 1 fresh seed is 3.460; "
        "one seed gives no interval. No other optimizer was run."
    )


def test_an_optimizer_without_anything_to_tune_takes_part() -> None:
    found = study({"adam": [1.0] * 6, "prodigy": [0.5] * 6}, trials={"adam": [0.5, 0.4], "prodigy": []})
    own = found.runs["optimizer"] == "prodigy"
    found.runs.loc[own, ["tuned", "lr"]] = [False, 1.0]
    for budget in (Budget(trials=2), Budget(seconds=0.02), Budget()):
        table = of(found, budget).query("scope == 'all tasks'").set_index("optimizer")
        assert table["recommended"].to_dict() == {"prodigy": True, "adam": False}, budget


def test_several_problems_are_ordered_as_on_the_page() -> None:
    frames = make(optimizers=["adam", "sgd", "rmsprop"], seeds=8)
    tables = all_tables(frames)
    table = tables["recommendation"].query("scope == 'all tasks' and trials == 12")
    assert table["optimizer"].tolist() == standings(tables)["optimizer"].tolist()
    improvement = tables["probability_of_improvement"]
    known = improvement[improvement["optimizer"] == table["optimizer"].iloc[0]].set_index("other")["probability_low"]
    told = table.iloc[1:].set_index("optimizer")["not_told_apart"]
    assert told.to_dict() == (known <= 0.5).to_dict()


def test_the_seeds_of_several_tasks_are_a_range_where_they_differ() -> None:
    counts = {("a", 10): 7, ("a", 20): 7, ("b", 10): 1}
    found = study({(*task, "adam"): [1.0] * number for task, number in counts.items()})
    row = of(found, Budget(trials=3)).query("scope == 'all tasks'").iloc[0]
    assert row["n_seeds"] == 1
    assert "over 2 problems and 3 tasks, with 1 to 7 fresh seeds each." in row["sentence"]
    alike = study({(*task, "adam"): [1.0] * 7 for task in counts})
    assert "3 tasks, with 7 fresh seeds each." in of(alike, Budget(trials=3))["sentence"].iloc[0]


def test_budgets_of_the_results() -> None:
    frames = make(trials=12)
    assert choose_budgets(frames.trials, frames.cells) == [Budget(1), Budget(6), Budget(12)]
    assert choose_budgets(frames.trials.iloc[:0], frames.cells) == []


# Races: parts of 11, 24 and 3 trials for the compute of 3 runs each (see `Study`: 300 for 100).
RACES = {"adam": [0.9, *[0.8] * 9, 0.3], "sgd": [0.9, *[0.8] * 22, 0.4], "lion": [0.9, 0.8, 0.5]}


def make_races() -> Study:
    found = study({name: [2 * losses[-1]] * 8 for name, losses in RACES.items()}, trials=RACES)
    middle = found.trials["valid_loss"].eq(0.8) & (found.trials["optimizer"] != "lion")  # lion has three points
    found.trials["status"] = found.trials["status"].where(~middle, "stopped")
    found.trials["cost"] = 300.0 / found.trials.groupby("cell_id")["trial"].transform("size")
    return found


def test_a_race_is_as_long_as_its_compute() -> None:
    found = make_races()
    whole = of(found).query("scope == 'all tasks' and recommended").iloc[-1]
    assert whole[["trials", "tuning_worth", "optimizer", "lr_start"]].tolist() == [3, 3, "adam", 1e7]
    assert whole["sentence"].startswith("With the compute of 3 runs for tuning: use adam")
    for number in (3, 11, 24):
        same = of(found, Budget(trials=number)).query("scope == 'all tasks'").drop(columns="trials")
        assert not same["note"].any(), "all of these were tuned with the whole budget"
        pd.testing.assert_series_equal(same.iloc[0], whole.drop("trials"), check_names=False, check_index=False)
    assert explain_small_budget(3, found.trials, found.cells) == []


def test_less_compute_than_that_of_a_race_leaves_the_untuned_answer_and_says_so() -> None:
    found = make_races()
    for budget in (Budget(trials=2), Budget(seconds=0.01)):
        table = of(found, budget).query("scope == 'all tasks'")
        assert set(table["lr_start"]) == {0.001}
        text = table["sentence"].iloc[0]
        assert text.endswith(" All are untuned, because the tuning has more compute than this budget.")
    assert of(found, Budget(trials=2))["tuning_worth"].eq(2).all()
    assert "untuned" not in of(found, Budget(trials=1))["sentence"].iloc[0]
    assert explain_small_budget(2, found.trials, found.cells) == [
        "the tunings have the compute of 3 runs (accepted: --trials 1, or at least 3)"
    ]


def test_complete_trials_are_counted_one_by_one() -> None:
    """Without a race, the default may be the best of the first trials: nothing is untuned then."""
    found = study({"adam": [1.0] * 8}, trials={"adam": [0.4, 0.5, 0.3]})
    text = of(found, Budget(trials=2))["sentence"].iloc[0]
    assert text.startswith("With the compute of 2 runs for tuning: use adam")
    assert "untuned" not in text
    assert explain_small_budget(2, found.trials, found.cells) == []


def test_an_interrupted_cell_shrinks_no_budget(found: Study) -> None:
    name = found.cells["cell_id"].iloc[0]
    found.cells.loc[0, "status"] = "missing"
    found.trials = found.trials[(found.trials["cell_id"] != name) | (found.trials["trial"] == 0)]
    assert choose_budgets(found.trials, found.cells) == [Budget(1), Budget(3)]
    table = of(found, Budget(trials=3)).query("scope == 'all tasks'").set_index("optimizer")
    assert table.loc["adam", "note"] == "tuned for less than the budget on 1 task"
    assert table["recommended"].to_dict() == {"sgd": True, "adam": False}
    assert "Cannot be judged: adam." in table.loc["sgd", "sentence"]


def test_more_seconds_than_were_spent_have_no_answer(found: Study) -> None:
    """Three trials a cell, 0.03 s: what a minute would have found isn't known."""
    table = of(found, Budget(seconds=60.0))
    assert not table["recommended"].any()
    assert table["expected_regret"].isna().all()
    first = table["sentence"].iloc[0]
    assert "nothing to recommend" in first
    assert "(tuned for less than the budget on 3 tasks)" in first
    # One limit that is reached is enough: the other one could then buy nothing.
    for within in (Budget(trials=3), Budget(trials=3, seconds=60.0), Budget(seconds=0.039), Budget(memory_bytes=1e9)):
        assert of(found, within)["recommended"].any(), within


@pytest.mark.parametrize("raced", [False, True])
def test_more_trials_than_the_tuning_had_give_the_answer_of_all_of_it(raced: bool, found: Study) -> None:
    found = make_races() if raced else found
    whole, more = (of(found, Budget(trials=number)) for number in (3, 25))
    pd.testing.assert_frame_equal(more.drop(columns="trials"), whole.drop(columns="trials"))
    assert whole["recommended"].any()
    assert more["sentence"].iloc[0].startswith("With the compute of 3 runs for tuning: ")
    assert explain_large_budget(3, found.trials, found.cells) == []
    assert explain_large_budget(25, found.trials, found.cells) == [
        "the tunings have the compute of 3 runs; what 25 would find is not known, so the answer is for 3 runs"
    ]


def test_trials_that_stopped_early_count_by_their_compute() -> None:
    """Six trials, of which three stopped at a fifth of their run: 3.6 runs of 4."""
    found = study({"adam": [1.0] * 8}, trials={"adam": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]})
    found.trials["cost"] = [100.0, 20.0, 20.0, 20.0, 100.0, 100.0]
    found.cells["tuning_budget"] = 400.0
    tried = list_trials(found.trials, found.runs, found.cells)
    assert tried["number"].tolist() == [1, 2, 2, 2, 3, 4]
    assert set(tried["length"]) == {4}
    assert choose_budgets(found.trials, found.cells) == [Budget(1), Budget(2), Budget(4)]
    rates = {number: of(found, Budget(trials=number))["lr_start"].iloc[0] for number in (1, 2, 3, 4)}
    assert rates == {1: 1e-3, 2: 1.0, 3: 10.0, 4: 100.0}
    found.cells["run_budget"] = 99.0  # trials that cost a little more than a run are still complete ones
    assert list_trials(found.trials, found.runs, found.cells)["number"].iloc[0] == 1
    found.cells["status"] = "missing"
    assert set(list_trials(found.trials, found.runs, found.cells)["length"]) == {4}


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
    assert set(spoken["rests_on"]) == {"fresh seeds", "single trials"}
    for row in spoken[spoken["recommended"]].to_dict("records"):
        sentence = row["sentence"]
        same = table[(table["trials"] == row["trials"]) & (table["scope"] == row["scope"])]
        known = {format_number(row["tuning_worth"], 3, True), "95", *re.findall(r"\d[\d.]*", row["scope"])}
        known |= {format_number(row[name], 3, True) for name in ("lr_start", "lr_low", "lr_high")}
        known |= {format_number(100 * row[name], 3, True) for name in ("expected_regret", "regret_low", "regret_high")}
        known |= {str(row[name]) for name in ("problems", "tasks", "n_seeds", "batch_size")}
        known |= {format_number(row[name]) for name in ("value", "mean", "mean_low", "mean_high")}
        second = same.iloc[1]
        known |= {str(second["batch_size"]), format_number(second["value"])}
        said = sentence.replace(row["scope"], "")
        for figure in re.findall(r"-?\d[\d.,e-]*", said):
            assert figure.rstrip(".,") in known, (figure, sentence)
        assert row["optimizer"] in sentence
        told = re.findall(r"Not significantly worse: ([^.]*)\.", sentence)
        assert set(", ".join(told).split(", ")) - {""} == set(
            same.loc[same["not_told_apart"].fillna(False), "optimizer"]
        )
        unknown = re.findall(r"Cannot be judged: ([^.]*)\.", sentence)
        assert set(", ".join(unknown).split(", ")) - {""} <= set(same.loc[same["not_told_apart"].isna(), "optimizer"])
