"""Two at a time: by hand, and free of whoever else was run."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optbench.metrics.pairwise_profile import pairwise_profile
from tests.metrics.test_performance_profile import by_cost, random_times
from tests.support.profiled import MISS, times_of


def pairs(times: pd.DataFrame, **how: int) -> pd.DataFrame:
    table = pairwise_profile(times, **how)
    return table[table["measure"] == "cost"].set_index(["a", "b"])


def test_by_hand() -> None:
    row = pairs(times_of({
        ("adam", "p", "easy"): [10], ("sgd", "p", "easy"): [20],
        ("adam", "q", "easy"): [MISS], ("sgd", "q", "easy"): [50],
        ("adam", "r", "easy"): [MISS], ("sgd", "r", "easy"): [MISS],
        ("adam", "s", "easy"): [30], ("sgd", "s", "easy"): [30],
    })).loc[("adam", "sgd")]  # fmt: skip
    assert row[["units", "a_faster", "b_faster", "neither"]].tolist() == [4, 0.25, 0.25, 0.25]
    assert row["area_a"] == pytest.approx((1 + 0 + 0 + 1) / 4)
    assert row["area_b"] == pytest.approx((2 / 3 + 1 + 0 + 1) / 4)
    assert row["difference"] == pytest.approx(row["area_a"] - row["area_b"])
    assert math.isnan(row["difference_low"]), "one seed"


def test_a_third_optimizer_changes_nothing() -> None:
    times = random_times()
    two = times[times["optimizer"] != "nadam"]
    row, alone = pairs(times).loc[("adam", "sgd")], pairs(two).loc[("adam", "sgd")]
    figures = ["units", "a_faster", "area_a", "area_b", "difference", "difference_low", "difference_high"]
    assert row[figures].equals(alone[figures])
    assert alone["area_a"] == pytest.approx(by_cost(two).loc["adam", "area"])
    assert row["area_b"] != pytest.approx(by_cost(times).loc["sgd", "area"])


def test_the_seeds_of_a_third_optimizer_change_nothing() -> None:
    """A third one that has run other seeds, or of whom some times aren't known, doesn't take seeds from the others."""
    times = random_times()
    two = times[times["optimizer"] != "nadam"]
    third = times[(times["optimizer"] == "nadam") & (times["seed"] == 2)]
    pd.testing.assert_series_equal(pairs(pd.concat([two, third])).loc[("adam", "sgd")], pairs(two).loc[("adam", "sgd")])


def test_units_without_a_common_seed_are_counted() -> None:
    times = random_times()
    apart = (times["problem"] == "p") & ((times["seed"] < 2) == (times["optimizer"] == "sgd"))
    row = pairs(times[~apart & (times["optimizer"] != "nadam")]).loc[("adam", "sgd")]
    assert row[["units", "units_left_out"]].tolist() == [6, 2]


def test_pairs_count_the_units_that_both_have() -> None:
    times = random_times()
    part = times[(times["optimizer"] != "sgd") | (times["problem"] == "p")]
    table = pairs(part)
    assert table["units"].to_dict() == {("adam", "nadam"): 8, ("adam", "sgd"): 2, ("nadam", "sgd"): 2}
    apart = times[(times["optimizer"] == "sgd") == (times["problem"] == "p")]
    row = pairs(apart).loc[("adam", "sgd")]
    assert row["units"] == 0
    assert math.isnan(row["difference"])


def test_bounds() -> None:
    row = pairs(random_times(12)).loc[("adam", "sgd")]
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert row["difference_low"] > 0, "adam is much faster"
    first, other = (pairs(random_times(), seed=seed, resamples=100)["difference_low"] for seed in (1, 2))
    assert not first.equals(other)
    assert len(pairwise_profile(random_times().iloc[:0])) == 0
