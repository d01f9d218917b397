"""The profile's area against AlgoPerf's formula by hand, and what its bounds and its pool depend on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.performance_profile import performance_profile, profile_curves
from tests.support.profiled import MISS, UNKNOWN, times_of

NAN = math.nan


def by_cost(times: pd.DataFrame, **how: int) -> pd.DataFrame:
    table = performance_profile(times, **how)
    return table[table["measure"] == "cost"].set_index("optimizer")


def random_times(seeds: int = 5, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return times_of({
        (optimizer, problem, target): [
            MISS if rng.random() < 0.15 else 20 * (1 + index / 3) * level * rng.lognormal(0, 0.4) for _ in range(seeds)
        ]
        for index, optimizer in enumerate(("adam", "nadam", "sgd"))
        for problem in ("p", "q", "r", "s") for target, level in (("easy", 1), ("hard", 2))
    }, 200.0)  # fmt: skip


def test_the_area_by_hand() -> None:
    """Medians of three seeds, a miss being infinite. adam: ratios 1, 2, ∞; sgd: 2, 1, ∞; r_max = 4."""
    times = times_of({
        ("adam", "p", "easy"): [10, 12, 5], ("sgd", "p", "easy"): [20, MISS, 18],
        ("adam", "p", "hard"): [40, 40, MISS], ("sgd", "p", "hard"): [20, 20, 20],
        ("adam", "q", "easy"): [5, MISS, MISS], ("sgd", "q", "easy"): [MISS, MISS, MISS],
    })  # fmt: skip
    table = by_cost(times)
    assert table.loc["adam", "area"] == pytest.approx((3 / 3 + 2 / 3 + 0) / 3)
    assert table.loc["sgd", "area"] == pytest.approx((2 / 3 + 3 / 3 + 0) / 3)
    assert table["units"].tolist() == [3, 3]
    assert table["fastest"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert table["solved"].tolist() == pytest.approx([2 / 3, 2 / 3])
    seconds = performance_profile(times).set_index(["measure", "optimizer"])["area"]
    assert seconds["seconds", "adam"] == pytest.approx(seconds["cost", "adam"])


def test_equal_to_a_loop_over_units() -> None:
    times = random_times()
    table = by_cost(times)
    optimizers = sorted(times["optimizer"].unique())
    credit = dict.fromkeys(optimizers, 0.0)
    units = 0
    for _, unit in times.groupby(["problem", "target_name"]):
        units += 1
        median = {}
        for name in optimizers:
            own = unit[unit["optimizer"] == name]
            costs = sorted(math.inf if math.isnan(cost) else cost for cost in own["cost_to_target"])
            median[name] = costs[len(costs) // 2]
        best = min(median.values())
        for name in optimizers:
            if math.isfinite(median[name]) and median[name] / best <= 4:
                credit[name] += (4 - median[name] / best) / 3
    assert table["area"].to_dict() == pytest.approx({name: value / units for name, value in credit.items()})


def test_only_units_that_all_were_run_on_count() -> None:
    complete = random_times()
    part = complete[(complete["optimizer"] != "sgd") | complete["problem"].isin(["p", "q"])]
    table = by_cost(part)
    assert table["units"].tolist() == [4] * 3
    assert table["units_left_out"].tolist() == [4] * 3
    expected = by_cost(complete[complete["problem"].isin(["p", "q"])])
    assert table["area"].to_dict() == expected["area"].to_dict()
    apart = complete[(complete["optimizer"] == "sgd") == (complete["problem"] == "p")]
    table = by_cost(apart)
    assert table["area"].isna().all(), "no unit in common: nothing can be said"
    assert table["units"].tolist() == [0] * 3


def test_groups_without_a_seed_in_common_are_counted_as_left_out() -> None:
    complete = random_times()
    apart = (complete["problem"] == "p") & ((complete["seed"] < 2) == (complete["optimizer"] == "sgd"))
    table = by_cost(complete[~apart])
    assert table["units"].tolist() == [6] * 3
    assert table["units_left_out"].tolist() == [2] * 3
    assert table["area"].to_dict() == by_cost(complete[complete["problem"] != "p"])["area"].to_dict()


def test_freedom_is_that_of_the_units_that_count() -> None:
    """Groups that aren't shared have no part in the area, and lend its interval no degrees of freedom."""
    complete = random_times(4)
    part = complete[(complete["optimizer"] != "sgd") | (complete["problem"] == "p")]
    only = complete[complete["problem"] == "p"]
    assert by_cost(only)["area_low"].isna().all(), "3 degrees of freedom are too few"
    assert by_cost(part)["area_low"].isna().all()


def test_resamples_that_agree_give_no_interval_of_width_zero() -> None:
    times = times_of({(name, problem, "easy"): [cost] * 6
                      for name, cost in (("adam", 10.0), ("sgd", 20.0)) for problem in "pqr"})  # fmt: skip
    table = by_cost(times)
    assert table["area"].to_dict() == pytest.approx({"adam": 1.0, "sgd": 2 / 3})
    assert table[["area_low", "area_high"]].isna().all(axis=None)


def test_unknown_runs_and_missing_seconds_are_no_misses() -> None:
    times = times_of({("adam", "p", "easy"): [10, UNKNOWN], ("sgd", "p", "easy"): [20, 5]})
    table = by_cost(times)
    assert table["area"].to_dict() == pytest.approx({"adam": 1.0, "sgd": 2 / 3}), "of the seed that both have"
    times["seconds_to_target"] = NAN
    seconds = performance_profile(times)
    seconds = seconds[seconds["measure"] == "seconds"]
    assert seconds["optimizer"].tolist() == ["adam", "sgd"]
    assert seconds["area"].isna().all()
    unknown = times_of({("adam", "p", "easy"): [10], ("sgd", "p", "easy"): [20], ("nadam", "p", "easy"): [UNKNOWN]})
    table = by_cost(unknown)
    assert table["area"].tolist()[:2] == pytest.approx([1.0, 2 / 3])
    assert math.isnan(table.loc["nadam", "area"])
    assert table.loc["nadam", "units"] == 0


def test_the_seed_decides_the_bounds_and_nothing_else() -> None:
    """The trap: a bootstrap whose seed has no effect, or one that draws from a global generator."""
    times = random_times()
    first, again, other = (by_cost(times, seed=seed, resamples=200) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert first["area"].equals(other["area"])
    assert not first["area_low"].equals(other["area_low"])
    shuffled = by_cost(times.sample(frac=1, random_state=0), seed=1, resamples=200)
    pd.testing.assert_frame_equal(first, shuffled)


def test_bounds_hold_the_area_and_narrow_with_seeds() -> None:
    few, many = by_cost(random_times(4), resamples=300), by_cost(random_times(40), resamples=300)
    for table in (few, many):
        assert (table["area_low"] <= table["area"]).all()
        assert (table["area"] <= table["area_high"]).all()
    assert (many["area_high"] - many["area_low"]).mean() < 0.6 * (few["area_high"] - few["area_low"]).mean()
    one = by_cost(random_times(1))
    assert one["area"].notna().all()
    assert one["area_low"].isna().all(), "one seed has no spread"


def test_curves_end_where_the_table_says() -> None:
    times = random_times()
    curves = profile_curves(times, resamples=50)
    table = by_cost(times, resamples=50)
    first = curves[curves["ratio"] == 1.0].set_index("optimizer")["share"]
    assert first.to_dict() == pytest.approx(table["fastest"].to_dict())
    for name, own in curves.groupby("optimizer"):
        assert own["share"].is_monotonic_increasing
        assert own["share"].iloc[-1] <= table.loc[name, "solved"] + 1e-12
        bounded = own.dropna()
        assert len(bounded) > 30
        assert ((bounded["share_low"] <= bounded["share"]) & (bounded["share"] <= bounded["share_high"])).all()
        fine = profile_curves(times, resamples=1, points=4001).query("optimizer == @name")
        area = np.trapezoid(fine["share"], fine["ratio"]) / 3
        assert area == pytest.approx(table.loc[name, "area"], abs=2e-3)


def test_nothing_one_optimizer_and_nobody_there() -> None:
    times = random_times()
    empty = performance_profile(times.iloc[:0])
    assert len(empty) == 0
    assert len(profile_curves(times.iloc[:0])) == 0
    alone = by_cost(times[times["optimizer"] == "adam"])
    assert (alone.loc["adam", "fastest"], alone.loc["adam", "area"]) == (alone.loc["adam", "solved"],) * 2
    missed = by_cost(times_of({("adam", "p", "easy"): [MISS], ("sgd", "p", "easy"): [MISS]}))
    assert missed["area"].tolist() == [0.0, 0.0]
    assert missed["fastest"].tolist() == [0.0, 0.0]
