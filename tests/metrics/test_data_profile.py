"""Shares of pairs solved by a share of the budget, by hand."""

from __future__ import annotations

import numpy as np

from optbench.metrics.data_profile import data_profile, data_profile_curves
from tests.metrics.profiled import MISS, UNKNOWN, times_of
from tests.metrics.test_performance_profile import random_times


def test_by_hand() -> None:
    table = data_profile(times_of({
        ("adam", "p", "easy"): [10, 20, 60], ("adam", "p", "hard"): [100, MISS, UNKNOWN], ("sgd", "p", "easy"): [MISS],
    })).set_index("optimizer")  # fmt: skip
    assert table.loc["adam"].tolist() == [5, 1, 1 / 5, 2 / 5, 2 / 5, 4 / 5]
    assert table.loc["sgd"].tolist() == [1, 0, 0, 0, 0, 0]


def test_curves_rise_to_what_is_solved_and_do_not_depend_on_others() -> None:
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
