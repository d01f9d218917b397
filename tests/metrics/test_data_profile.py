"""Shares of pairs solved by a share of the budget, by hand."""

from __future__ import annotations

import numpy as np

from optbench.metrics.data_profile import data_profile, data_profile_curves
from tests.metrics.test_performance_profile import random_times
from tests.support.profiled import MISS, UNKNOWN, times_of


def test_by_hand() -> None:
    own = {("adam", "p", "easy"): [10, 20, 60], ("adam", "p", "hard"): [100, MISS, UNKNOWN]}
    alone = data_profile(times_of(own)).set_index("optimizer")
    assert alone.loc["adam"].tolist() == [5, 1, 1 / 5, 2 / 5, 2 / 5, 4 / 5, 0]
    both = data_profile(times_of(own | {("sgd", "p", "easy"): [MISS, 50.0]})).set_index("optimizer")
    assert both.loc["adam"].tolist() == [2, 1, 1 / 2, 1, 1, 1, 3], "of the pairs that sgd has as well"
    assert both.loc["sgd"].tolist() == [2, 0, 0, 0, 1 / 2, 1 / 2, 0]


def test_who_ran_easy_targets_only_does_not_look_better() -> None:
    easy, hard = [10.0, 20.0], [90.0, MISS]
    table = data_profile(times_of({
        ("adam", "p", "easy"): easy, ("adam", "q", "hard"): hard, ("sgd", "p", "easy"): easy,
    })).set_index("optimizer")  # fmt: skip
    assert table["solved_at_20"].to_dict() == {"adam": 1.0, "sgd": 1.0}
    curves = data_profile_curves(times_of({
        ("adam", "p", "easy"): easy, ("adam", "q", "hard"): hard, ("sgd", "p", "easy"): easy,
    }))  # fmt: skip
    assert curves[curves["optimizer"] == "adam"]["share"].tolist() == [0.5, 1.0]


def test_curves_rise_to_what_is_solved_and_do_not_depend_on_how_fast_others_are() -> None:
    times = random_times()
    curves, table = data_profile_curves(times), data_profile(times).set_index("optimizer")
    for name, own in curves.groupby("optimizer"):
        assert own["budget_share"].is_monotonic_increasing
        assert own["share"].iloc[-1] == table.loc[name, "solved_at_100"]
        half = own[own["budget_share"] <= 0.5]["share"].max()
        assert half == table.loc[name, "solved_at_50"]
    alone = data_profile(times[times["optimizer"] == "sgd"]).set_index("optimizer")
    assert alone.loc["sgd"].equals(table.loc["sgd"])


def test_what_is_not_known_is_missing() -> None:
    row = data_profile(times_of({("adam", "p", "easy"): [UNKNOWN]})).iloc[0]
    assert (row["pairs"], row["pairs_unknown"]) == (0, 1)
    assert np.isnan(row["solved_at_100"])
    row = data_profile(times_of({("adam", "p", "easy"): [50.0, MISS]}, budget=np.nan)).iloc[0]
    assert (row["pairs"], row["pairs_unknown"]) == (0, 2)
    assert len(data_profile(random_times().iloc[:0])) == 0
    assert len(data_profile_curves(random_times().iloc[:0])) == 0
