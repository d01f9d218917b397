"""By what factor one of two independent samples is larger: exact, whatever their distribution.

The rank-sum test (Mann and Whitney 1947) and the interval that it leaves for a shift (Hodges and Lehmann 1963), here
of logarithms, so that it is one of a ratio.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np


def rank_sum(base: np.ndarray, head: np.ndarray) -> float:
    """The exact two-sided p-value of two samples, (m,) and (n,), under the hypothesis that they are of one
    distribution; with ties, which times hardly have, the one of the conservative ranks.
    """
    greater = (head[:, None] > base).sum() + 0.5 * (head[:, None] == base).sum()
    u = int(np.floor(max(greater, len(base) * len(head) - greater)))
    counts = _ways(len(base), len(head))
    return float(min(1.0, 2 * counts[u:].sum() / counts.sum()))


def ratio_interval(base: np.ndarray, head: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of the factor by which `head` is larger than `base`, both positive; infinite for too few values."""
    quotients = np.sort((head[:, None] / base).ravel())
    counts = _ways(len(base), len(head))
    tail = np.cumsum(counts) / counts.sum()
    left_out = int((tail <= (1 - confidence) / 2).sum())
    if not left_out:
        return 0.0, float("inf")
    return float(quotients[left_out - 1]), float(quotients[-left_out])


def fewest_blocks(alpha: float, comparisons: int) -> int:
    """The least n for which two samples of n that don't overlap are significant in so many comparisons (Holm)."""
    n = 1
    while 2 / comb(2 * n, n) > alpha / comparisons:
        n += 1
    return n


def median_ratio(base: np.ndarray, head: np.ndarray) -> float:
    """The ratio of the medians."""
    return float(np.median(head) / np.median(base))


@lru_cache
def _ways(m: int, n: int) -> np.ndarray:
    """In how many orders of m and n values u of the m·n pairs have the one of the n larger, u = 0 … m·n."""
    # Of Gauss's binomial coefficient, the product of (1 − q^(n+i)) / (1 − q^i), the coefficients in q.
    found = np.zeros(m * n + 1, dtype=object)
    found[0] = 1
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            found[u] -= found[u - n - i]
        for u in range(i, m * n + 1):
            found[u] += found[u - i]
    return found.astype(float)
