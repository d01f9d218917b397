"""Confidence intervals of a mean, a median and a share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special, stats


def t_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Returns Student's interval of the mean of independent values (Student 1908), which is exact for normal ones.

    Values that are not finite are ignored. Do not use the interval if they are failures: it would be one of the mean of
    the successes only.

    Args:
        values: An array of any shape.
        confidence: Coverage of the interval.

    Returns:
        Lower and upper bound; (NaN, NaN) with fewer than two finite values.
    """
    values = np.asarray(values, dtype=float).ravel()
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return math.nan, math.nan
    low, high = t_bounds(values.mean(), values.std(ddof=1), len(values), confidence)
    return float(low), float(high)


def t_bounds(mean: Any, deviation: Any, n: Any, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns Student's intervals of many samples at once: mean ± t · deviation/√n.

    t is the quantile of n − 1 degrees of freedom.

    Args:
        mean: Sample means.
        deviation: Sample standard deviations, with n − 1 in the denominator.
        n: Sample sizes. The three arguments are broadcast against each other.
        confidence: Coverage of the intervals.

    Returns:
        Lower and upper bounds of the broadcast shape; NaN where n < 2.
    """
    mean, deviation, n = np.broadcast_arrays(*(np.asarray(part, dtype=float) for part in (mean, deviation, n)))
    enough = n >= 2
    size = np.where(enough, n, 2.0)
    half = special.stdtrit(size - 1, 0.5 + confidence / 2) * deviation / np.sqrt(size)
    return np.where(enough, mean - half, np.nan), np.where(enough, mean + half, np.nan)


def median_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns a distribution-free interval of the median of independent values, for each column (Thompson 1936).

    The bounds are the order statistics x₍ⱼ₎ and x₍ₙ₊₁₋ⱼ₎ with the largest j for which
    P(Bin(n, ½) < j) ≤ (1 − confidence)/2. The coverage is at least `confidence`, also with infinite values.

    Args:
        values: An array of shape (n, …); infinite for a failure.
        confidence: Least coverage of the interval.

    Returns:
        Lower and upper bounds of shape (…); NaN if n is too small for an interval (below 6 for 95 %).

    Raises:
        ValueError: A value is NaN.
    """
    values = np.sort(np.asarray(values, dtype=float), axis=0)
    if np.isnan(values).any():
        raise ValueError("values contain NaN (accepted: finite numbers, or infinity for a failure)")
    n = len(values)
    j = int(stats.binom.ppf((1 - confidence) / 2, n, 0.5))
    # `ppf` returns the first j with P(Bin ≤ j) ≥ tail, which meets the condition; with equality, j + 1 does as well.
    j += int(stats.binom.cdf(j, n, 0.5) <= (1 - confidence) / 2)
    if j < 1:
        missing = np.full(values.shape[1:], np.nan)
        return missing, missing.copy()
    return values[j - 1], values[n - j]


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns Wilson's score interval (1927) of a share of `successes` in `n` trials; (NaN, NaN) for n = 0."""
    low, high = wilson_bounds(successes, n, confidence)
    return float(low), float(high)


def wilson_bounds(successes: Any, n: Any, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns Wilson's score intervals (1927) of many shares at once.

        (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)  with p = successes/n and z the normal quantile

    Args:
        successes: Numbers of successes.
        n: Numbers of trials; both are broadcast against each other.
        confidence: Coverage of the intervals.

    Returns:
        Lower and upper bounds of the broadcast shape; NaN where n = 0.
    """
    k, n = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(n, dtype=float))
    z = special.ndtri(0.5 + confidence / 2)
    size = np.where(n > 0, n, 1.0)
    share, scale = k / size, 1 + z**2 / size
    middle = (share + z**2 / (2 * size)) / scale
    half = z * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)) / scale
    # Exactly 0 and 1 at the ends, in spite of rounding.
    low = np.where(k == 0, 0.0, middle - half)
    high = np.where(k == n, 1.0, middle + half)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)
