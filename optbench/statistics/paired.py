"""Two optimizers on the same seeds: is one better, by how much, are they alike?

A difference is positive where the first optimizer is better. It is infinite where exactly one of the
two failed, and zero where both did: a failed run is worse than every number.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

#: Up to so many pairs the test counts all 2^n sign patterns; beyond, it draws some at random.
EXACT_PAIRS = 24
#: Sign patterns drawn where there are too many to count.
_DRAWS = 20_000
#: Sums closer than this part of the largest are equal: the same terms added in another order.
_ROUNDING = 1e-12

#: A deviation below this part of the mean is the rounding of metrics in single precision, and no spread.
_NO_SPREAD = 1e-5


def sign_flip(
    differences: np.ndarray, alternative: str = "two-sided", seed: int = 0, resolution: float = 0.0
) -> np.ndarray:
    """p-values of the sign-flip test that differences are symmetric about zero (Fisher 1935, section 21).

    `differences` has the shape (…, n), the result (…). p is the share of the 2^n sign patterns whose
    sum is as far from zero as the observed one (`greater`: as large). Exact up to `EXACT_PAIRS` pairs; beyond,
    (1 + hits)/(1 + draws) over patterns drawn from `seed` (Phipson and Smyth 2010). An infinite
    difference outweighs all finite ones together. No pairs, or a missing one, have no p-value (NaN).
    Sums that differ by less than n · `resolution`, what a difference is known to, count as equal: accuracies
    tie often, and rounding must not make a tie significant.
    """
    if alternative not in ("two-sided", "greater"):
        raise ValueError(f"alternative {alternative!r} is neither 'two-sided' nor 'greater'")
    values = np.asarray(differences, dtype=float)
    rows = values.reshape(int(np.prod(values.shape[:-1])), values.shape[-1])
    two_sided = alternative == "two-sided"
    p = [_p_value(*_bounded(row, resolution), two_sided, seed) for row in rows]
    return np.array(p, dtype=float).reshape(values.shape[:-1])


def _bounded(row: np.ndarray, resolution: float) -> tuple[np.ndarray, float]:
    """Infinite differences as finite ones larger than all others together, since the test only orders sums; and
    how close sums have to be to count as equal.
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
        return _share(magnitudes, threshold, two_sided)
    sums = _drawn_signs(len(row), seed) @ magnitudes
    hits = int(np.count_nonzero((np.abs(sums) if two_sided else sums) >= threshold))
    return (1 + hits) / (1 + _DRAWS)


@lru_cache(maxsize=4)
def _drawn_signs(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, size=(_DRAWS, n)) * 2.0 - 1.0


def _share(magnitudes: np.ndarray, threshold: float, two_sided: bool) -> float:
    """The share of all sign patterns whose sum is at least `threshold`, in size if two-sided.

    Every sum is one of the first half's plus one of the second's, so that 2^(n/2) sorted sums do the
    work of 2^n (Horowitz and Sahni 1974).
    """
    if two_sided and threshold <= 0:
        return 1.0
    half = len(magnitudes) // 2
    first, second = _signs(half) @ magnitudes[:half], np.sort(_signs(len(magnitudes) - half) @ magnitudes[half:])
    above = len(second) - np.searchsorted(second, threshold - first, side="left")
    # Patterns come in pairs of opposite sums, so both tails are equally large.
    return float(above.sum() * (2 if two_sided else 1) / (len(first) * len(second)))


@lru_cache
def _signs(n: int) -> np.ndarray:
    """All 2^n sign patterns, of shape (2^n, n)."""
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


def equivalence(differences: np.ndarray, margin: float, seed: int = 0, resolution: float = 0.0) -> np.ndarray:
    """p-values of the hypothesis that the centre of the differences lies `margin` or more from zero.

    Two one-sided sign-flip tests, of differences + margin and margin − differences; the larger p counts
    (Schuirmann 1987). Shapes as for `sign_flip`.
    """
    values = np.asarray(differences, dtype=float)
    sides = (sign_flip(side, "greater", seed, resolution) for side in (values + margin, margin - values))
    return np.maximum(*sides)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values of one family adjusted by Holm (1979), whatever the dependence between them.

    The i-th smallest of m is multiplied by m − i + 1, made monotone and limited to 1. A missing p
    stays missing and doesn't belong to the family.
    """
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def effect_size(differences: np.ndarray) -> float:
    """The standardised mean difference of pairs, mean/deviation (Cohen 1988, d_z).

    Missing below two pairs and where a difference is infinite; infinite where all are the same and
    not zero, and zero where all are zero.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2 or not np.isfinite(values).all():
        return np.nan
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    if deviation <= _NO_SPREAD * abs(mean):
        return float(np.sign(mean) * np.inf) if mean else 0.0
    return mean / deviation


def probability_of_improvement(differences: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """The probability that the first optimizer is better on a new seed: estimate, lower and upper bound.

    The estimate is the share of positive differences, a zero counting half; bounds as of `share`.
    """
    values = np.asarray(differences, dtype=float)
    return share(np.where(np.isnan(values), np.nan, (np.sign(values) + 1) / 2), confidence)


def share(scores: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """The mean of independent scores between 0 and 1, with a lower and an upper bound.

    The bounds are those of Clopper and Pearson (1934), by beta quantiles, which cover at least as often
    as they say for every n. They are those of scores of 0 and 1, than which no others vary more: scores in
    between, or of differing expectations, make them wider than need be (Hoeffding 1956). Missing without scores.
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
