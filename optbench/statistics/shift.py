"""Exact comparison of two independent samples, whatever their distribution: by which factor is one larger?

The rank-sum test (Mann and Whitney 1947), and its interval for a shift (Hodges and Lehmann 1963), here of logarithms,
so that it is an interval of a ratio.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np


def rank_sum(base: np.ndarray, head: np.ndarray) -> float:
    """Returns the exact two-sided p-value of the hypothesis that two samples have the same distribution.

    With ties, which are rare for times, the ranks are conservative.

    Args:
        base: The first sample, of shape (m,).
        head: The second sample, of shape (n,).
    """
    greater = (head[:, None] > base).sum() + 0.5 * (head[:, None] == base).sum()
    u = int(np.floor(max(greater, len(base) * len(head) - greater)))
    counts = _count_orders(len(base), len(head))
    return float(min(1.0, 2 * counts[u:].sum() / counts.sum()))


def ratio_interval(base: np.ndarray, head: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Returns an interval of the factor by which `head` is larger than `base`.

    Args:
        base: Positive values of shape (m,).
        head: Positive values of shape (n,).
        confidence: Least coverage of the interval.

    Returns:
        Lower and upper bound; (0, ∞) with too few values.
    """
    quotients = np.sort((head[:, None] / base).ravel())
    counts = _count_orders(len(base), len(head))
    tail = np.cumsum(counts) / counts.sum()
    left_out = int((tail <= (1 - confidence) / 2).sum())
    if not left_out:
        return 0.0, float("inf")
    return float(quotients[left_out - 1]), float(quotients[-left_out])


def fewest_blocks(alpha: float, comparisons: int) -> int:
    """Returns the smallest n for which two samples of size n that do not overlap differ significantly.

    Args:
        alpha: Significance level of the family.
        comparisons: Number of tests in the family (Holm).
    """
    n = 1
    while 2 / comb(2 * n, n) > alpha / comparisons:
        n += 1
    return n


def median_ratio(base: np.ndarray, head: np.ndarray) -> float:
    """Returns the median of `head` divided by the median of `base`."""
    return float(np.median(head) / np.median(base))


@lru_cache
def _count_orders(m: int, n: int) -> np.ndarray:
    """Counts the orders of m and n values by the number u = 0 … m·n of pairs whose larger value is one of the n."""
    # Coefficients of the Gaussian binomial coefficient, the product of (1 − q^(n+i)) / (1 − q^i).
    counts = np.zeros(m * n + 1, dtype=object)
    counts[0] = 1
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            counts[u] -= counts[u - n - i]
        for u in range(i, m * n + 1):
            counts[u] += counts[u - i]
    return counts.astype(float)
