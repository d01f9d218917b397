"""Best of k against all subsets, one by one."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from optbench.statistics.best_of import mean_best, median_best

INF = math.inf


@pytest.mark.parametrize("diverged", [0, 1, 3, 8])
def test_equal_to_all_subsets(diverged: int) -> None:
    losses = np.random.default_rng(diverged).lognormal(size=8)
    losses[:diverged] = INF
    losses[-1] = losses[-2] if diverged < 7 else losses[-1]  # a tie
    expected, median = mean_best(losses), median_best(losses)
    for k in range(1, 9):
        smallest = sorted(min(subset) for subset in combinations(losses, k))
        if math.isinf(smallest[-1]):
            assert math.isnan(expected[k - 1])
        else:
            assert expected[k - 1] == pytest.approx(np.mean(smallest), rel=1e-12)
        middle = smallest[(len(smallest) - 1) // 2]
        assert median[k - 1] == middle or (math.isinf(middle) and math.isnan(median[k - 1]))


def test_unbiased_where_drawing_with_replacement_is_not() -> None:
    """Of six uniform trials the best of two is expected at 1/3."""
    samples = np.random.default_rng(0).random((3000, 6))
    ours = np.mean([mean_best(sample)[1] for sample in samples])
    assert abs(ours - 1 / 3) < 0.01
    ordered = np.sort(samples, axis=1)
    weights = np.diff(1 - (1 - np.arange(7) / 6) ** 2)
    assert (ordered * weights).sum(axis=1).mean() > 1 / 3 + 0.02, "Dodge et al. 2019"


def test_large_budgets_and_none() -> None:
    losses = np.random.default_rng(1).random(2000)
    curve = mean_best(losses)
    assert np.all(np.diff(curve) <= 1e-15)
    assert curve[0] == pytest.approx(losses.mean())
    assert curve[-1] == losses.min()
    assert len(mean_best(np.array([]))) == len(median_best(np.array([]))) == 0
    with pytest.raises(ValueError, match="losses contain NaN"):
        mean_best(np.array([1.0, math.nan]))
