"""Seeds and power computed in advance, against simulated studies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.statistics import paired, planning
from optbench.statistics.fewest import fewest_pairs


def test_fewest_pairs() -> None:
    assert fewest_pairs() == 6
    assert fewest_pairs(comparisons=9) == 9
    for comparisons in (1, 2, 9, 50):
        n = fewest_pairs(0.05, comparisons)
        everything_wins = paired.holm(np.append(paired.sign_flip(np.ones(n)), np.ones(comparisons - 1)))
        assert everything_wins[0] <= 0.05
        assert 2 / 2 ** (n - 1) * comparisons > 0.05
    assert fewest_pairs(sides=1) == 5


@pytest.mark.parametrize(("n", "effect"), [(6, 1.5), (7, 1.0), (8, 1.5), (10, 0.5), (10, 1.0), (15, 0.5)])
def test_power_is_as_computed_in_advance(n: int, effect: float) -> None:
    rng = np.random.default_rng(int(n * 10 + effect))
    p = paired.sign_flip(rng.normal(effect, 1, (4000, n)))
    assert np.mean(p <= 0.05) == pytest.approx(planning.power(effect, n), abs=0.03)


@pytest.mark.parametrize("n", [9, 10, 12])
def test_power_at_the_level_of_a_family(n: int) -> None:
    p = paired.sign_flip(np.random.default_rng(n).normal(1.5, 1, (4000, n)))
    assert np.mean(p <= 0.05 / 9) == pytest.approx(planning.power(1.5, n, 0.05 / 9), abs=0.045)


def test_too_few_pairs_have_no_power() -> None:
    assert planning.power(10, 5) == 0
    assert planning.power(math.inf, 5) == 0
    assert planning.power(math.inf, 6) == 1
    assert planning.equivalence_power(0, 10, 4) == 0
    assert planning.equivalence_power(1, 1, 50) == 0


@pytest.mark.parametrize(("effect", "margin", "n"), [(0.0, 1.0, 10), (0.3, 1.2, 12), (0.0, 2.0, 6)])
def test_power_of_showing_a_tie(effect: float, margin: float, n: int) -> None:
    p = paired.equivalence(np.random.default_rng(n).normal(effect, 1, (4000, n)), margin)
    planned = planning.equivalence_power(effect, margin, n)
    assert planned - 0.03 <= np.mean(p <= 0.05) <= planned + 0.08


@pytest.mark.parametrize(("mean", "deviation", "margin"), [(1.0, 1.0, 0.05), (0.4, 0.5, 0.05), (0.0, 0.1, 0.1)])
def test_the_seeds_that_are_said_to_decide_do(mean: float, deviation: float, margin: float) -> None:
    n = int(planning.plan_seeds(mean, deviation, margin))
    rng = np.random.default_rng(1)
    draws = rng.normal(mean, deviation, (2000, n))
    decided = (paired.sign_flip(draws) <= 0.05) | (paired.equivalence(draws, margin) <= 0.05)
    assert 0.76 <= decided.mean() <= 0.97
    fewer = rng.normal(mean, deviation, (2000, n - 2))
    assert ((paired.sign_flip(fewer) <= 0.05) | (paired.equivalence(fewer, margin) <= 0.05)).mean() < 0.82


def test_seeds_needed_at_the_ends() -> None:
    assert planning.plan_seeds(1.0, 0.0, 0.1) == 6
    assert planning.plan_seeds(0.0, 0.0, 0.1) == 5
    assert planning.plan_seeds(0.0, 0.0, 0.1, comparisons=9) == 8
    assert planning.plan_seeds(1e-9, 1.0, 1e-9) == math.inf
    assert math.isnan(planning.plan_seeds(math.nan, 1.0, 0.1))
    assert math.isnan(planning.plan_seeds(math.inf, 1.0, 0.1))


def test_the_deviation_to_plan_with_is_large_enough_four_times_in_five() -> None:
    draws = np.random.default_rng(2).normal(0, 2, (10_000, 5)).std(axis=1, ddof=1)
    enough = np.mean([planning.planning_deviation(value, 5) >= 2 for value in draws])
    assert enough == pytest.approx(0.8, abs=0.015)
    assert math.isnan(planning.planning_deviation(1.0, 1))


def test_an_error_that_seeds_do_not_average_out() -> None:
    """The plan is for the mean that is harder to decide, and there is none where that is nothing."""
    for mean, error in ((0.8, 0.2), (-0.8, 0.2)):
        assert planning.plan_seeds(mean, 0.7, 0.0, error=error) == planning.plan_seeds(0.6, 0.7, 0.0)
    assert planning.plan_seeds(0.1, 0.5, 0.0, error=0.2) == math.inf
    assert planning.plan_seeds(0.1, 0.5, 1.0, error=0.2) == planning.plan_seeds(0.3, 0.5, 1.0)
    assert planning.plan_seeds(0.0, 0.0, 0.1, error=0.2) == math.inf
