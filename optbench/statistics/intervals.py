"""Confidence intervals of a mean, of a median and of a share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special, stats


def t_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of independent values (Student 1908): exact for normal ones.

    Values that are not finite are passed over; (NaN, NaN) below two finite ones. Where a failure
    would be passed over, so that the mean is one of successes only, don't ask for an interval.
    """
    values = np.asarray(values, dtype=float).ravel()
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return math.nan, math.nan
    low, high = t_bounds(values.mean(), values.std(ddof=1), len(values), confidence)
    return float(low), float(high)


def t_bounds(mean: Any, deviation: Any, n: Any, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The same of many samples at once, from their means, deviations (n − 1 in the denominator) and sizes.

    mean ± t · deviation/√n with t the quantile of n − 1 degrees of freedom; NaN where n < 2.
    """
    mean, deviation, n = np.broadcast_arrays(*(np.asarray(part, dtype=float) for part in (mean, deviation, n)))
    enough = n >= 2
    size = np.where(enough, n, 2.0)
    half = special.stdtrit(size - 1, 0.5 + confidence / 2) * deviation / np.sqrt(size)
    return np.where(enough, mean - half, np.nan), np.where(enough, mean + half, np.nan)


def median_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the median of independent values, of shape (n, …): bounds of shape (…), for each column.

    The order statistics x₍ⱼ₎ and x₍ₙ₊₁₋ⱼ₎ with the largest j for which P(Bin(n, ½) < j) ≤ (1 − confidence)/2:
    whatever the distribution, infinite values included, it covers at least as often (Thompson 1936). NaN where
    n is too small for any: below 6 at 95 %. Raises ValueError for NaN.
    """
    values = np.sort(np.asarray(values, dtype=float), axis=0)
    if np.isnan(values).any():
        raise ValueError("values must be numbers: infinite where there was a failure")
    n = len(values)
    j = int(stats.binom.ppf((1 - confidence) / 2, n, 0.5))
    # The quantile is the first to reach the tail's share; only below it is no more of it.
    j += int(stats.binom.cdf(j, n, 0.5) <= (1 - confidence) / 2)
    if j < 1:
        missing = np.full(values.shape[1:], np.nan)
        return missing, missing.copy()
    return values[j - 1], values[n - j]


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of successes among n trials; (NaN, NaN) for n = 0."""
    low, high = wilson_bounds(successes, n, confidence)
    return float(low), float(high)


def wilson_bounds(successes: Any, n: Any, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The same of many shares at once.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) with p = successes/n and z the normal quantile.
    """
    k, n = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(n, dtype=float))
    z = special.ndtri(0.5 + confidence / 2)
    size = np.where(n > 0, n, 1.0)
    share, scale = k / size, 1 + z**2 / size
    middle = (share + z**2 / (2 * size)) / scale
    half = z * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)) / scale
    # At the ends the bounds are 0 and 1 exactly, which rounding would miss.
    low = np.where(k == 0, 0.0, middle - half)
    high = np.where(k == n, 1.0, middle + half)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)
