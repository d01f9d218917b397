"""How many paired seeds a decision needs, computed before they are run.

The sign-flip test is, but for its steps, as powerful as Student's paired test (Hoeffding 1952), so the
noncentral t distribution gives its power, at the largest level that the steps of 2^n patterns allow;
where that leaves one or two patterns a side, their chances are computed as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import integrate, special, stats

#: No plan goes beyond this many seeds.
MOST_SEEDS = 10_000


def fewest_pairs(alpha: float = 0.05, comparisons: int = 1, sides: int = 2) -> int:
    """The fewest pairs with which a sign-flip test can be significant at `alpha` after Holm's adjustment
    for so many comparisons: the smallest n with sides/2^n · comparisons ≤ alpha.
    """
    return max(1, math.ceil(math.log2(sides * comparisons / alpha) - 1e-12))


def attainable(alpha: float, n: int, sides: int = 2) -> float:
    """The largest p-value of n pairs that is at most `alpha`: a whole number of `sides`/2^n; 0 if none is."""
    if n > 50:
        return alpha
    step = sides / 2.0**n
    return math.floor(alpha / step + 1e-9) * step


def power(effect: float, n: int, alpha: float = 0.05) -> float:
    """The probability that the two-sided sign-flip test of n pairs decides for the right side.

    `effect` is the true mean difference in deviations of the differences, which are taken as normal.
    """
    level = attainable(alpha, n)
    if level <= 0 or n < 2:
        return 0.0
    if math.isinf(effect):
        return 1.0
    effect = abs(effect)
    patterns = round(level * 2.0 ** (n - 1)) if n <= 50 else math.inf
    if patterns <= 2:
        return _all_agree(effect, n) + (_smallest_disagrees(effect, n) if patterns == 2 else 0.0)
    critical = special.stdtrit(n - 1, 1 - level / 2)
    return float(stats.nct.sf(critical, n - 1, effect * math.sqrt(n)))


def _all_agree(effect: float, n: int) -> float:
    """The chance that all n differences are positive: the only significant pattern at the least level."""
    return float(special.ndtr(effect) ** n)


def _smallest_disagrees(effect: float, n: int) -> float:
    """The chance that only the smallest of n differences is negative, the second most extreme pattern."""

    def density(x: float) -> float:
        return math.exp(-((x + effect) ** 2) / 2) / math.sqrt(2 * math.pi) * float(special.ndtr(effect - x)) ** (n - 1)

    return n * float(integrate.quad(density, 0, math.inf)[0])


def equivalence_power(effect: float, margin: float, n: int, alpha: float = 0.05) -> float:
    """A lower bound of the probability that both one-sided tests of n pairs place the difference within ± margin.

    `effect` and `margin` are in deviations of the differences. By Bonferroni: one minus the chances
    that either of the two fails.
    """
    level = attainable(alpha, n, sides=1)
    if level <= 0 or n < 2 or abs(effect) >= margin:
        return 0.0
    if math.isinf(margin):
        return 1.0
    critical = special.stdtrit(n - 1, 1 - level)
    fails = [stats.nct.cdf(critical, n - 1, (margin + side * effect) * math.sqrt(n)) for side in (-1, 1)]
    return max(0.0, 1.0 - float(sum(fails)))


def seeds_needed(
    mean: float,
    deviation: float,
    margin: float,
    alpha: float = 0.05,
    comparisons: int = 1,
    wanted: float = 0.8,
    error: float = 0.0,
) -> float:
    """The fewest paired seeds with which a win, loss or tie is to be expected with the power `wanted`.

    `mean` and `deviation` are those of the paired differences, `margin` what counts as no difference;
    the level is alpha/comparisons, Holm's for the smallest p. `error` is one of the mean that no number of seeds
    makes smaller: the plan is for the side of it that is harder to decide. Infinite beyond `MOST_SEEDS`, missing
    where the deviation is.
    """
    if not (math.isfinite(mean) and math.isfinite(deviation)):
        return math.nan
    level = alpha / comparisons
    least, least_alike = fewest_pairs(alpha, comparisons), fewest_pairs(alpha, comparisons, sides=1)
    near, far = max(abs(mean) - error, 0.0), abs(mean) + error
    if deviation <= 0:
        decided = least if near else math.inf
        alike = least_alike if far < margin else math.inf
        return float(min(decided, alike))
    # Rounded, so that a table of thousands of rows asks for a plan once: three digits are more than it is worth.
    near, far, tolerance = (float(f"{value / deviation:.3g}") for value in (near, far, margin))
    decided = _pairs_to_decide(near, level, wanted, least)
    alike = math.inf
    if far < tolerance:
        alike = _pairs_to_tie(far, tolerance, level, wanted, least_alike)
    return min(decided, alike)


@lru_cache(maxsize=100_000)
def _pairs_to_decide(effect: float, level: float, wanted: float, least: int) -> float:
    return _first(lambda n: power(effect, n, level) >= wanted, least)


@lru_cache(maxsize=100_000)
def _pairs_to_tie(effect: float, tolerance: float, level: float, wanted: float, least: int) -> float:
    return _first(lambda n: equivalence_power(effect, tolerance, n, level) >= wanted, least)


def planning_deviation(deviation: float, n: int, assurance: float = 0.8) -> float:
    """The upper confidence bound, at level `assurance`, of a deviation estimated from n values.

    A plan made with the estimate itself is too small half of the time (Browne 1995).
    """
    if n < 2:
        return math.nan
    return float(deviation * np.sqrt((n - 1) / (2 * special.gammaincinv((n - 1) / 2, 1 - assurance))))


def _first(enough: Callable[[int], bool], least: int) -> float:
    """The smallest n of at least `least` that is enough, by doubling and bisection; infinite beyond the most."""
    low, high = least, least
    while not enough(high):
        if high >= MOST_SEEDS:
            return math.inf
        low, high = high + 1, min(2 * high, MOST_SEEDS)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return float(high)
