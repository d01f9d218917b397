"""Kaplan–Meier against a textbook's worked example, restricted means against integrals and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from optbench.statistics.intervals import t_interval
from optbench.statistics.survival import expected_running_time, kaplan_meier, median_time, restricted_mean

# Remission times in weeks under 6-MP (Freireich et al. 1963), as worked in Kalbfleisch and Prentice,
# "The Statistical Analysis of Failure Time Data", and in Kleinbaum and Klein, "Survival Analysis", chapter 2.
SIX_MP = [6, 6, 6, 7, 10, 13, 16, 22, 23]
SIX_MP_CENSORED = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]


def six_mp() -> tuple[np.ndarray, np.ndarray]:
    times = np.array([*SIX_MP, *SIX_MP_CENSORED], dtype=float)
    events = np.arange(len(times)) < len(SIX_MP)
    order = np.random.default_rng(0).permutation(len(times))
    return times[order], events[order]


def test_kaplan_meier_equals_the_textbook() -> None:
    curve = kaplan_meier(*six_mp())
    assert curve.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
    assert curve.events.tolist() == [3, 1, 1, 1, 1, 1, 1]
    assert curve.survival.round(4).tolist() == [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]
    assert median_time(*six_mp()) == 23


@pytest.mark.filterwarnings("ignore:The confidence interval is undefined")
def test_kaplan_meier_and_its_bounds_equal_scipy() -> None:
    rng = np.random.default_rng(1)
    times, events = rng.exponential(3, 60).round(1), rng.random(60) < 0.7
    ours = kaplan_meier(times, events)
    theirs = stats.ecdf(stats.CensoredData.right_censored(times, ~events))
    interval = theirs.sf.confidence_interval(0.95, method="log-log")
    for ours_, theirs_ in [
        (ours.survival, theirs.sf), (ours.low, interval.low), (ours.high, interval.high),
    ]:  # fmt: skip
        expected = theirs_.evaluate(ours.times)
        known = (ours.survival > 0) & np.isfinite(expected)
        assert known.sum() > 20
        np.testing.assert_allclose(ours_[known], expected[known], rtol=1e-12)


def test_the_restricted_mean_is_the_area_under_the_curve() -> None:
    times, events = six_mp()
    curve = kaplan_meier(times, events)

    def survival(at: float) -> float:
        return float(np.concatenate([[1.0], curve.survival])[np.searchsorted(curve.times, at, side="right")])

    for horizon in (4.0, 10.0, 22.5, 35.0):
        expected, _ = integrate.quad(survival, 0, horizon, points=curve.times[curve.times < horizon], limit=200)
        mean, low, high = restricted_mean(times, events, horizon)
        assert mean == pytest.approx(expected, abs=1e-6)
        assert low <= mean <= high or (horizon == 4.0 and math.isnan(low))
    assert all(map(math.isnan, restricted_mean(times, events, 36.0))), "one was last seen at 35"


def test_without_censoring_it_is_the_t_interval_of_the_limited_times() -> None:
    rng = np.random.default_rng(2)
    for n in (2, 3, 8, 30):
        times = rng.exponential(5, n)
        horizon = 6.0
        events = times < horizon
        limited = np.minimum(times, horizon)
        mean, low, high = restricted_mean(np.where(events, times, horizon), events, horizon)
        assert mean == pytest.approx(limited.mean())
        if events.any():
            assert (low, high) == pytest.approx(tuple(np.clip(t_interval(limited), 0, horizon)))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_restricted_means_cover_the_truth(n: int) -> None:
    """Times normal around 6 with a budget of 20 that hardly any run meets: nominal within two points."""
    rng = np.random.default_rng(n)
    covered = 0
    for times in rng.normal(6.0, 1.5, (2000, n)):
        _, low, high = restricted_mean(times, np.ones(n, dtype=bool), 20.0)
        covered += low <= 6.0 <= high
    assert abs(covered / 2000 - 0.95) < 0.02


def test_a_diverged_run_weighs_its_whole_budget() -> None:
    """The trap: dropping the runs that never got there, or taking the moment they died for a success."""
    times, events = np.array([20.0, 40.0, 100.0]), np.array([True, True, False])
    assert restricted_mean(times, events, 100.0)[0] == pytest.approx((20 + 40 + 100) / 3)
    assert expected_running_time(times, events) == 160 / 2
    successes_only = times[events].mean()
    assert expected_running_time(times, events) > restricted_mean(times, events, 100.0)[0] > successes_only
    early = np.array([20.0, 40.0, 5.0])
    assert restricted_mean(early, events, 100.0)[0] != restricted_mean(times, events, 100.0)[0]


def test_all_none_and_one() -> None:
    none = np.zeros(3, dtype=bool)
    budget = np.full(3, 50.0)
    assert math.isnan(expected_running_time(budget, none))
    assert math.isnan(median_time(budget, none))
    mean, low, high = restricted_mean(budget, none, 50.0)
    assert mean == 50.0
    assert math.isnan(low), "no bounds: three misses don't tell how far from the target they are"
    assert math.isnan(high)
    assert len(kaplan_meier(budget, none).times) == 0
    mean, low, high = restricted_mean(np.array([3.0]), np.array([True]), 50.0)
    assert mean == 3.0
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(map(math.isnan, restricted_mean(np.array([]), np.array([], dtype=bool), 50.0)))
    with pytest.raises(ValueError, match="finite"):
        kaplan_meier(np.array([1.0, math.inf]), np.array([True, False]))
