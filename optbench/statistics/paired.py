"""Tests and effect sizes for two optimizers on the same seeds.

A difference is positive if the first optimizer is better. It is infinite if exactly one of the two failed, and zero
if both did: a failed run is worse than every number.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

#: Up to this number of pairs the test counts all 2^n sign patterns; with more pairs it draws patterns at random.
EXACT_PAIRS = 24
#: Number of sign patterns that are drawn at random.
_DRAWS = 20_000
#: Sums whose difference is below this share of the largest are equal, up to the order of summation.
_ROUNDING = 1e-12

#: A deviation below this share of the mean is due to the rounding of metrics in single precision.
_NO_SPREAD = 1e-5


def sign_flip(
    differences: np.ndarray, alternative: str = "two-sided", seed: int = 0, resolution: float = 0.0
) -> np.ndarray:
    """Returns p-values of the sign-flip test that differences are symmetric about zero (Fisher 1935, section 21).

    p is the share of the 2^n sign patterns whose sum is as far from zero as the observed sum (`greater`: at least as
    large). It is exact up to `EXACT_PAIRS` pairs. With more pairs it is (1 + hits)/(1 + draws) over random patterns
    (Phipson and Smyth 2010). An infinite difference outweighs all finite ones together.

    Args:
        differences: Paired differences, of shape (…, n).
        alternative: `two-sided`, or `greater` for positive differences.
        seed: Seed of the random patterns.
        resolution: Accuracy of a difference. Sums that differ by less than n · `resolution` count as equal: accuracies
            are often tied, and rounding must not make a tie significant.

    Returns:
        p-values of shape (…); NaN without pairs, or if a difference is NaN.

    Raises:
        ValueError: `alternative` is unknown.
    """
    if alternative not in ("two-sided", "greater"):
        raise ValueError(f"unknown alternative {alternative!r} (accepted: 'two-sided', 'greater')")
    values = np.asarray(differences, dtype=float)
    rows = values.reshape(int(np.prod(values.shape[:-1])), values.shape[-1])
    two_sided = alternative == "two-sided"
    p = [_p_value(*_replace_infinite(row, resolution), two_sided, seed) for row in rows]
    return np.array(p, dtype=float).reshape(values.shape[:-1])


def _replace_infinite(row: np.ndarray, resolution: float) -> tuple[np.ndarray, float]:
    """Replaces infinite differences by finite ones that outweigh all others: the test uses only the order of sums.

    Returns:
        The differences, and the distance up to which sums count as equal.
    """
    infinite = np.isinf(row)
    largest = float(np.abs(row[~infinite]).max(initial=0.0))
    if infinite.any() and largest > 0:
        row, resolution = np.where(infinite, row, row / largest), resolution / largest
    row = np.where(infinite, np.sign(row) * 2 * len(row), row)
    return row, len(row) * resolution + _ROUNDING * float(np.abs(row).sum())


def _p_value(row: np.ndarray, close: float, two_sided: bool, seed: int) -> float:
    if not len(row) or np.isnan(row).any():
        return np.nan
    magnitudes = np.abs(row)
    total = row.sum()
    threshold = (abs(total) if two_sided else total) - close
    if len(row) <= EXACT_PAIRS:
        return _pattern_share(magnitudes, threshold, two_sided)
    sums = _draw_signs(len(row), seed) @ magnitudes
    hits = int(np.count_nonzero((np.abs(sums) if two_sided else sums) >= threshold))
    return (1 + hits) / (1 + _DRAWS)


@lru_cache(maxsize=4)
def _draw_signs(n: int, seed: int) -> np.ndarray:
    """Draws `_DRAWS` sign patterns, of shape (_DRAWS, n)."""
    return np.random.default_rng(seed).integers(0, 2, size=(_DRAWS, n)) * 2.0 - 1.0


def _pattern_share(magnitudes: np.ndarray, threshold: float, two_sided: bool) -> float:
    """Returns the share of all sign patterns whose sum (two-sided: absolute sum) is at least `threshold`.

    Every sum is a sum of the first half plus one of the second half, so 2^(n/2) sorted sums replace 2^n sums (Horowitz
    and Sahni 1974).
    """
    if two_sided and threshold <= 0:
        return 1.0
    half = len(magnitudes) // 2
    first, second = (
        _all_signs(half) @ magnitudes[:half],
        np.sort(_all_signs(len(magnitudes) - half) @ magnitudes[half:]),
    )
    above = len(second) - np.searchsorted(second, threshold - first, side="left")
    # Every pattern has an opposite one, so both tails have the same size.
    return float(above.sum() * (2 if two_sided else 1) / (len(first) * len(second)))


@lru_cache
def _all_signs(n: int) -> np.ndarray:
    """Returns all 2^n sign patterns, of shape (2^n, n)."""
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


def equivalence(differences: np.ndarray, margin: float, seed: int = 0, resolution: float = 0.0) -> np.ndarray:
    """Returns p-values of the hypothesis that the centre of the differences is at least `margin` away from zero.

    The larger p-value of two one-sided sign-flip tests, of differences + margin and of margin − differences
    (Schuirmann 1987).

    Args:
        differences: Paired differences, of shape (…, n).
        margin: The largest difference that does not matter.
        seed: As for `sign_flip`.
        resolution: As for `sign_flip`.

    Returns:
        p-values of shape (…); a small one shows that the two are equivalent.
    """
    values = np.asarray(differences, dtype=float)
    sides = (sign_flip(side, "greater", seed, resolution) for side in (values + margin, margin - values))
    return np.maximum(*sides)


def holm(p: np.ndarray) -> np.ndarray:
    """Returns the p-values of one family, adjusted by Holm's method (1979), which holds under any dependence.

    The i-th smallest of m p-values is multiplied by m − i + 1; the results are made monotone and limited to 1. NaN
    stays NaN and does not count for m.

    Args:
        p: p-values of shape (m,).
    """
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def effect_size(differences: np.ndarray) -> float:
    """Returns the standardised mean difference of pairs, mean/deviation (Cohen 1988, d_z).

    Args:
        differences: Paired differences, of shape (n,).

    Returns:
        NaN with fewer than two pairs or an infinite difference; ±∞ if all differences are equal and not zero; 0 if all
        are zero.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2 or not np.isfinite(values).all():
        return np.nan
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    if deviation <= _NO_SPREAD * abs(mean):
        return float(np.sign(mean) * np.inf) if mean else 0.0
    return mean / deviation


def probability_of_improvement(differences: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Returns the probability that the first optimizer is better on a new seed: estimate, lower and upper bound.

    The estimate is the share of positive differences; a zero counts half. The bounds are those of `share`.

    Args:
        differences: Paired differences, of shape (n,).
        confidence: Coverage of the interval.
    """
    values = np.asarray(differences, dtype=float)
    return share(np.where(np.isnan(values), np.nan, (np.sign(values) + 1) / 2), confidence)


def share(scores: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Returns the mean of independent scores between 0 and 1, with a lower and an upper bound.

    The bounds are those of Clopper and Pearson (1934), by beta quantiles; their coverage is at least `confidence` for
    every n. They are derived for scores of 0 and 1, which vary most. For scores between 0 and 1, or with different
    expectations, they are conservative (Hoeffding 1956).

    Args:
        scores: An array of shape (n,).
        confidence: Least coverage of the interval.

    Returns:
        Mean, lower and upper bound; NaN without scores, or if one is NaN.
    """
    scores = np.asarray(scores, dtype=float)
    n = len(scores)
    if n == 0 or np.isnan(scores).any():
        return np.nan, np.nan, np.nan
    total = float(scores.sum())
    tail = 0.5 - confidence / 2
    low = 0.0 if total < 1 else float(special.betaincinv(total, n - total + 1, tail))
    high = 1.0 if total > n - 1 else float(special.betaincinv(total + 1, n - total, 1 - tail))
    return total / n, low, high
