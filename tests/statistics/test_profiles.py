"""The area under a performance profile, by hand and as AlgoPerf adds it up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.statistics.profiles import area, ratios

INF = math.inf


def test_the_area_by_hand() -> None:
    """Three solvers on four problems, r_max = 4.

    Ratios: A 1, 2, 1, missed; B 2, 1, 4, missed; C 5, missed, 1.5, missed. Each ratio r contributes (4 − r)/3,
    nothing beyond 4, and all four problems are in the denominator, the one that nobody solves too.
    """
    times = np.array([[10, 40, 6, INF], [20, 20, 24, INF], [50, INF, 9, INF]])
    expected = [(3 / 3 + 2 / 3 + 3 / 3) / 4, (2 / 3 + 3 / 3 + 0) / 4, (0 + 2.5 / 3) / 4]
    np.testing.assert_allclose(area(times), expected, rtol=1e-14)


def test_the_area_is_the_limit_of_a_sum_over_a_grid() -> None:
    """AlgoPerf's own code takes the trapezium rule over a grid of ratios: equal to within the grid."""
    rng = np.random.default_rng(0)
    times = np.where(rng.random((5, 30)) < 0.2, INF, rng.lognormal(0, 0.7, (5, 30)))
    grid = np.linspace(1, 4, 20_001)
    shares = np.array([np.searchsorted(np.sort(row), grid, "right") / 30 for row in ratios(times)])
    summed = ((shares[:, 1:] + shares[:, :-1]) / 2 * np.diff(grid)).sum(axis=1) / 3
    np.testing.assert_allclose(area(times), summed, atol=1e-4)


def test_areas_of_many_resamples_at_once() -> None:
    rng = np.random.default_rng(1)
    times = rng.lognormal(size=(7, 3, 4))
    np.testing.assert_allclose(area(times), [area(one) for one in times])


def test_dropping_the_best_solver_can_change_the_order_of_the_rest() -> None:
    """Gould and Scott (2016): why there are pairwise profiles beside the one of all."""
    fast, first, second = [1.0, INF], [3.0, 1.6], [3.9, 1.0]
    among_three = area(np.array([fast, first, second]))[1:]
    among_two = area(np.array([first, second]))
    np.testing.assert_allclose(among_three, [(1 / 3 + 0.8) / 2, (0.1 / 3 + 1) / 2])
    np.testing.assert_allclose(among_two, [(1 + 0.8) / 2, (0.9 + 1) / 2])
    assert among_three[0] > among_three[1]
    assert among_two[0] < among_two[1]


def test_the_edges() -> None:
    np.testing.assert_array_equal(ratios(np.array([[0.0, INF], [3.0, INF]])), [[1, INF], [INF, INF]])
    assert area(np.array([[5.0]])).tolist() == [1.0]
    with pytest.raises(ValueError, match="times contain NaN or negative numbers"):
        ratios(np.array([[math.nan], [1.0]]))
    with pytest.raises(ValueError, match="times contain NaN or negative numbers"):
        ratios(np.array([[-1.0], [1.0]]))
