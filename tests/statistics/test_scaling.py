"""Costs at which curves reach a loss, the jackknife, slopes, and projections by power laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from optbench.statistics.scaling import common_limit, jackknife, log_speedups, project, reaching_cost, slope

COSTS = 3.0 ** np.arange(4)


def law(costs: np.ndarray, limit: float, scale: float = 1.0, exponent: float = 0.5) -> np.ndarray:
    return limit + scale * costs**-exponent


@pytest.mark.parametrize("limit", [0.0, 0.1, 0.4])
def test_a_power_law_is_interpolated_exactly(limit: float) -> None:
    random = np.random.default_rng(7)
    for cost in random.uniform(1, 27, 20):
        found = reaching_cost(COSTS, law(COSTS, limit), float(law(np.array(cost), limit)), limit)
        assert np.exp(found) == pytest.approx(cost, rel=1e-9)


def test_beyond_the_ends_a_curve_goes_straight_on() -> None:
    losses = law(COSTS, 0.0)
    for cost in (0.2, 100.0):
        assert np.exp(reaching_cost(COSTS, losses, cost**-0.5)) == pytest.approx(cost)
    assert np.isfinite(reaching_cost(COSTS, law(COSTS, 0.1), 0.05, 0.1)), "a loss below the limit"


def test_only_points_that_improve_count() -> None:
    bumpy = np.array([1.0, 0.5, 0.7, 0.25])
    assert np.exp(reaching_cost(COSTS, bumpy, 0.5)) == pytest.approx(3)
    assert reaching_cost(COSTS, bumpy, 0.4) == reaching_cost(COSTS[[0, 1, 3]], bumpy[[0, 1, 3]], 0.4)
    assert np.isnan(reaching_cost(COSTS, np.array([1.0, 1.0, 2.0, 1.0]), 0.5)), "nothing improves"
    assert np.isnan(reaching_cost(COSTS[:1], bumpy[:1], 0.5))


def test_the_limit_is_that_of_both_curves() -> None:
    for limit in (0.0, 0.2, 0.35):
        curves = [(COSTS, law(COSTS, limit)), (COSTS[:3], law(COSTS[:3], limit, 1.5, 0.8))]
        assert common_limit(curves) == pytest.approx(limit, abs=0.01)
    assert common_limit([(COSTS[:1], COSTS[:1])]) == 0
    steep = np.array([1.0, 0.1, 0.001])
    assert 0 <= common_limit([(COSTS[:3], steep)]) < 0.001, "it falls faster than 1/c"


def test_speedups_are_ratios_of_costs() -> None:
    own = law(1.4 * COSTS, 0.1)
    found = np.exp(log_speedups(COSTS, own, COSTS, law(COSTS, 0.1)))
    assert found[:3] == pytest.approx(1.4, rel=0.01)


def test_the_jackknife_of_a_mean_is_the_t_interval() -> None:
    values = np.random.default_rng(1).normal(3, 2, 8)
    without = np.array([[np.delete(values, place).mean()] for place in range(8)])
    low, high = jackknife(np.array([values.mean()]), without)
    assert [low[0], high[0]] == pytest.approx(stats.t.interval(0.95, 7, values.mean(), stats.sem(values)))
    low, high = jackknife(np.array([1.0]), np.array([]))
    assert np.isnan([low[0], high[0]]).all()


def test_slopes_are_those_of_least_squares() -> None:
    random = np.random.default_rng(2)
    x, y = random.normal(size=(7, 2)), random.normal(size=7)
    expected = np.linalg.lstsq(np.column_stack([x, np.ones(7)]), y, rcond=None)[0][:2]
    assert slope(x, y) == pytest.approx(expected)
    assert slope(x[:, :1], y) == pytest.approx(np.polyfit(x[:, 0], y, 1)[:1])
    assert np.isnan(slope(np.ones((3, 1)), y[:3])).all(), "nothing varies"
    assert np.isnan(slope(x[:1], y[:1])).all()


def test_a_law_without_noise_is_projected_exactly() -> None:
    for limit in (0.0, 0.2):
        means = law(COSTS, limit)
        found = project(COSTS[:3], np.column_stack([means[:3]] * 3), COSTS[3])
        assert found.loss == pytest.approx(means[3], rel=1e-3)
        assert found.limit == pytest.approx(limit, abs=3e-3)
        assert found.exponent == pytest.approx(0.5, abs=0.01)
        assert found.low <= found.loss <= found.high


def test_no_projection_is_above_the_last_rung() -> None:
    """More compute does not hurt, whatever two noisy rungs seem to say."""
    losses = np.exp(np.random.default_rng(3).normal(0, 0.05, (3, 5)) + np.array([[0.0], [0.1], [0.2]]))
    found = project(COSTS[:3], losses, COSTS[3])
    assert found.loss <= np.exp(np.log(losses[-1]).mean()) * (1 + 1e-12)
    assert found.exponent >= 0
    assert 0 < found.low <= found.loss <= found.high


@pytest.mark.parametrize(("rungs", "seeds"), [(2, 5), (3, 5), (3, 10), (4, 10)])
def test_projections_cover_what_comes(rungs: int, seeds: int) -> None:
    random, inside = np.random.default_rng([rungs, seeds]), 0
    for _ in range(200):
        limit = random.choice([0.0, random.uniform(0.05, 0.8)])
        scale, exponent = random.uniform(0.5, 3), random.uniform(0.2, 0.8)
        costs = np.append(COSTS[:rungs], 3.0**rungs)
        losses = law(costs, limit, scale, exponent)
        noisy = losses[:, None] * np.exp(random.choice([0.01, 0.03]) * random.normal(size=(rungs + 1, seeds)))
        found = project(costs[:-1], noisy[:-1], costs[-1])
        inside += found.low <= np.exp(np.log(noisy[-1]).mean()) <= found.high
    # 95 % intervals, of which a binomial of 200 is below 0.9 once in a thousand times.
    assert inside / 200 >= 0.9
