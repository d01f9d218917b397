"""The rank-sum test against scipy's, and its interval against the tests that it inverts."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy import stats

from optbench.statistics.shift import _count_orders, fewest_blocks, median_ratio, rank_sum, ratio_interval


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 5), (4, 3), (7, 7)])
def test_ways_are_those_of_brute_force(m: int, n: int) -> None:
    counts = np.zeros(m * n + 1)
    for places in combinations(range(m + n), n):
        counts[sum(place - k for k, place in enumerate(places))] += 1
    np.testing.assert_array_equal(_count_orders(m, n), counts)
    assert counts.sum() == comb(m + n, n)


def test_p_values_are_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        base, head = rng.lognormal(0, 0.1, rng.integers(3, 14)), rng.lognormal(0.05, 0.1, rng.integers(3, 14))
        assert rank_sum(base, head) == pytest.approx(stats.mannwhitneyu(head, base, method="exact").pvalue)


def test_the_interval_is_of_the_ratios_that_the_test_does_not_reject() -> None:
    rng = np.random.default_rng(3)
    base, head = rng.lognormal(0, 0.1, 9), rng.lognormal(0.3, 0.1, 8)
    low, high = ratio_interval(base, head)
    assert low < median_ratio(base, head) < high
    for ratio in (low * 1.0001, high * 0.9999):
        assert rank_sum(base * ratio, head) > 0.05
    for ratio in (low * 0.9999, high * 1.0001):
        assert rank_sum(base * ratio, head) <= 0.05


def test_the_interval_covers() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        low, high = ratio_interval(rng.lognormal(0, 0.2, 8), rng.lognormal(np.log(1.3), 0.2, 8))
        covered += low <= 1.3 <= high
    assert covered / 2000 > 0.95 - 2 * (0.05 * 0.95 / 2000) ** 0.5


def test_too_few_say_nothing() -> None:
    assert ratio_interval(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == (0.0, np.inf)
    for comparisons in (1, 10, 150):
        n = fewest_blocks(0.05, comparisons)
        apart = rank_sum(np.arange(1.0, n + 1), np.arange(n + 1.0, 2 * n + 1))
        assert apart * comparisons <= 0.05
        fewer = n - 1
        assert rank_sum(np.arange(1.0, fewer + 1), np.arange(fewer + 1.0, 2 * fewer + 1)) * comparisons > 0.05
