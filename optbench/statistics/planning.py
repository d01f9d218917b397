"""Number of paired seeds that a decision needs, computed before they are run.

The sign-flip test is, apart from the steps of its p-values, as powerful as Student's paired test (Hoeffding 1952). So
the noncentral t distribution gives its power, at the largest level that the 2^n patterns allow. If this level leaves
one or two patterns per side, their probabilities are computed directly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import integrate, special, stats

from optbench.statistics.fewest import fewest_pairs

#: The largest number of seeds that is planned.
MOST_SEEDS = 10_000


def attainable(alpha: float, n: int, sides: int = 2) -> float:
    """Returns the largest p-value of n pairs that is at most `alpha`: a multiple of sides/2^n, or 0."""
    if n > 50:
        return alpha
    step = sides / 2.0**n
    return math.floor(alpha / step + 1e-9) * step


def power(effect: float, n: int, alpha: float = 0.05) -> float:
    """Returns the probability that the two-sided sign-flip test of n pairs finds the right sign.

    Args:
        effect: True mean difference in standard deviations of the differences, which are assumed to be normal.
        n: Number of pairs.
        alpha: Significance level.
    """
    level = attainable(alpha, n)
    if level <= 0 or n < 2:
        return 0.0
    if math.isinf(effect):
        return 1.0
    effect = abs(effect)
    patterns = round(level * 2.0 ** (n - 1)) if n <= 50 else math.inf
    if patterns <= 2:
        return _p_all_agree(effect, n) + (_p_smallest_disagrees(effect, n) if patterns == 2 else 0.0)
    critical = special.stdtrit(n - 1, 1 - level / 2)
    return float(stats.nct.sf(critical, n - 1, effect * math.sqrt(n)))


def _p_all_agree(effect: float, n: int) -> float:
    """Returns the probability that all n differences are positive: the most extreme pattern."""
    return float(special.ndtr(effect) ** n)


def _p_smallest_disagrees(effect: float, n: int) -> float:
    """Returns the probability that only the smallest difference is negative: the second most extreme pattern."""

    def density(x: float) -> float:
        return math.exp(-((x + effect) ** 2) / 2) / math.sqrt(2 * math.pi) * float(special.ndtr(effect - x)) ** (n - 1)

    return n * float(integrate.quad(density, 0, math.inf)[0])


def equivalence_power(effect: float, margin: float, n: int, alpha: float = 0.05) -> float:
    """Returns a lower bound of the probability that both one-sided tests place the difference within ± `margin`.

    By Bonferroni, it is one minus the probabilities that either test fails.

    Args:
        effect: True mean difference in standard deviations of the differences.
        margin: The largest difference that does not matter, in standard deviations.
        n: Number of pairs.
        alpha: Significance level of each test.
    """
    level = attainable(alpha, n, sides=1)
    if level <= 0 or n < 2 or abs(effect) >= margin:
        return 0.0
    if math.isinf(margin):
        return 1.0
    critical = special.stdtrit(n - 1, 1 - level)
    failures = [stats.nct.cdf(critical, n - 1, (margin + side * effect) * math.sqrt(n)) for side in (-1, 1)]
    return max(0.0, 1.0 - float(sum(failures)))


def plan_seeds(
    mean: float,
    deviation: float,
    margin: float,
    alpha: float = 0.05,
    comparisons: int = 1,
    target_power: float = 0.8,
    error: float = 0.0,
) -> float:
    """Returns the smallest number of paired seeds that decides for a win, loss or tie with power `target_power`.

    The level is alpha/comparisons, which is Holm's for the smallest p-value.

    Args:
        mean: Mean of the paired differences.
        deviation: Standard deviation of the paired differences.
        margin: The largest difference that does not matter.
        alpha: Significance level of the family.
        comparisons: Number of tests in the family.
        target_power: Required probability of a decision.
        error: Error of the mean that more seeds do not reduce. The plan assumes its less favourable sign.

    Returns:
        Number of seeds: infinite above `MOST_SEEDS`, NaN if `mean` or `deviation` is not finite.
    """
    if not (math.isfinite(mean) and math.isfinite(deviation)):
        return math.nan
    level = alpha / comparisons
    least, least_alike = fewest_pairs(alpha, comparisons), fewest_pairs(alpha, comparisons, sides=1)
    near, far = max(abs(mean) - error, 0.0), abs(mean) + error
    if deviation <= 0:
        differ = least if near else math.inf
        alike = least_alike if far < margin else math.inf
        return float(min(differ, alike))
    # Rounded to three digits, which is accurate enough, so that equal plans of a long table are cached.
    near, far, tolerance = (float(f"{value / deviation:.3g}") for value in (near, far, margin))
    differ = _pairs_to_decide(near, level, target_power, least)
    alike = math.inf
    if far < tolerance:
        alike = _pairs_to_tie(far, tolerance, level, target_power, least_alike)
    return min(differ, alike)


@lru_cache(maxsize=100_000)
def _pairs_to_decide(effect: float, level: float, target_power: float, least: int) -> float:
    return _smallest_n(lambda n: power(effect, n, level) >= target_power, least)


@lru_cache(maxsize=100_000)
def _pairs_to_tie(effect: float, tolerance: float, level: float, target_power: float, least: int) -> float:
    return _smallest_n(lambda n: equivalence_power(effect, tolerance, n, level) >= target_power, least)


def planning_deviation(deviation: float, n: int, assurance: float = 0.8) -> float:
    """Returns the upper confidence bound, at level `assurance`, of a standard deviation estimated from n values.

    A plan that uses the estimate itself is too small half of the time (Browne 1995).
    """
    if n < 2:
        return math.nan
    return float(deviation * np.sqrt((n - 1) / (2 * special.gammaincinv((n - 1) / 2, 1 - assurance))))


def _smallest_n(enough: Callable[[int], bool], least: int) -> float:
    """Returns the smallest n ≥ `least` that is enough, by doubling and bisection; infinite above `MOST_SEEDS`."""
    low, high = least, least
    while not enough(high):
        if high >= MOST_SEEDS:
            return math.inf
        low, high = high + 1, min(2 * high, MOST_SEEDS)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return float(high)
