"""Intervals against their coverage of a known truth, and against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from optbench.statistics.intervals import median_interval, t_bounds, t_interval, wilson, wilson_bounds

SIMULATIONS = 10_000


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_t_intervals_cover_the_mean_as_often_as_they_say(n: int, confidence: float) -> None:
    samples = np.random.default_rng(n).normal(3.0, 2.0, (SIMULATIONS, n))
    low, high = t_bounds(samples.mean(axis=1), samples.std(axis=1, ddof=1), n, confidence)
    assert abs(np.mean((low <= 3.0) & (high >= 3.0)) - confidence) < 0.02


@pytest.mark.parametrize("n", [3, 5])
def test_a_percentile_bootstrap_would_not(n: int) -> None:
    """Why the mean has a t-interval: the alternative covers 95 % in name only."""
    rng = np.random.default_rng(n)
    samples = rng.normal(3.0, 2.0, (1000, n))
    means = samples[:, rng.integers(0, n, (2000, n))].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 3.0) & (high >= 3.0)) < 0.88


@pytest.mark.parametrize("n", [3, 5, 10, 40])
def test_wilson_covers_as_often_as_it_says_over_all_shares(n: int) -> None:
    """The exact coverage, by the binomial distribution, on average over all true shares."""
    shares = np.linspace(0.005, 0.995, 199)
    low, high = wilson_bounds(np.arange(n + 1), n)
    probability = stats.binom.pmf(np.arange(n + 1)[:, None], n, shares[None, :])
    covered = (low[:, None] <= shares) & (high[:, None] >= shares)
    assert abs((probability * covered).sum(axis=0).mean() - 0.95) < 0.02


def test_equal_to_scipy() -> None:
    values = np.random.default_rng(0).normal(size=7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert t_interval(values, 0.9) == pytest.approx((expected.low, expected.high), rel=1e-12)
    for successes, n in [(0, 3), (2, 3), (3, 3), (7, 20), (500, 1000)]:
        interval = stats.binomtest(successes, n).proportion_ci(0.95, "wilson")
        assert wilson(successes, n) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert wilson(0, 5)[0] == 0
    assert wilson(5, 5)[1] == 1


def test_what_cannot_be_estimated_is_missing() -> None:
    for values in ([], [1.0], [1.0, math.nan], [math.inf, 2.0]):
        assert all(math.isnan(bound) for bound in t_interval(np.array(values)))
    assert t_interval(np.array([1.0, math.nan, 3.0])) == t_interval(np.array([1.0, 3.0]))
    assert all(math.isnan(bound) for bound in wilson(0, 0))
    low, high = t_bounds([1.0, 2.0], [math.nan, 1.0], [1, 4])
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, False]


@pytest.mark.parametrize("n", [6, 9, 20, 51])
def test_the_interval_of_a_median_covers_whatever_the_distribution(n: int) -> None:
    rng = np.random.default_rng(n)
    for draw, median in ((rng.standard_cauchy, 0.0), (rng.exponential, math.log(2))):
        samples = draw(size=(n, SIMULATIONS))
        low, high = median_interval(samples)
        covered = np.mean((low <= median) & (high >= median))
        j = next(j for j in range(n, 0, -1) if stats.binom.cdf(j - 1, n, 0.5) <= 0.025)
        assert abs(covered - (1 - 2 * stats.binom.cdf(j - 1, n, 0.5))) < 0.01
        assert covered > 0.945


def test_the_interval_of_a_median_counts_failures_and_needs_six_values() -> None:
    low, high = median_interval(np.array([[math.inf], [1.0], [2.0], [3.0], [4.0], [5.0]]))
    assert (low.tolist(), high.tolist()) == ([1.0], [math.inf])
    assert np.isnan(median_interval(np.arange(5.0))[0])
    with pytest.raises(ValueError, match="values contain NaN"):
        median_interval(np.full(8, math.nan))
