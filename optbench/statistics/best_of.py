"""What the best of k independent trials can be expected to be, from n ≥ k of them."""

from __future__ import annotations

import numpy as np


def expected_best(losses: np.ndarray) -> np.ndarray:
    """The mean over all subsets of size k of their smallest loss, for k = 1 … n, of shape (n,).

    Σᵢ C(n − i, k − 1)/C(n, k) · L₍ᵢ₎ over the sorted losses: the unbiased U-statistic (Tang et al. 2020), where
    drawing with replacement (Dodge et al. 2019) is biased towards the worse. It takes independent draws from
    one distribution, as random search makes. A diverged trial is infinite: NaN for each k for which a subset
    of nothing but diverged trials exists. Raises ValueError for NaN.
    """
    ordered = _sorted(losses)
    n = len(ordered)
    k = np.arange(1, n + 1)
    weight = k / max(n, 1)  # of the smallest loss: C(n − 1, k − 1)/C(n, k)
    total = np.zeros(n)
    for i, loss in enumerate(ordered, start=1):
        with np.errstate(invalid="ignore"):
            total += np.where(weight > 0, weight * loss, 0.0)
        weight = weight * np.maximum(n - i - k + 1, 0) / max(n - i, 1)
    return np.where(np.isfinite(total), total, np.nan)


def median_best(losses: np.ndarray) -> np.ndarray:
    """The lower median over all subsets of size k of their smallest loss, for k = 1 … n, of shape (n,).

    The smallest L₍ᵢ₎ with 1 − C(n − i, k)/C(n, k) ≥ ½: a figure where the mean has none, since trials diverged.
    NaN where even the median has diverged.
    """
    ordered = _sorted(losses)
    n = len(ordered)
    best = np.full(n, np.nan)
    for k in range(1, n + 1):
        i = np.arange(1, n + 1)
        # C(n − i, k)/C(n, k), factor by factor.
        above = np.cumprod(np.maximum(n - k - i + 1, 0) / (n - i + 1))
        best[k - 1] = ordered[np.argmax(1 - above >= 0.5 - 1e-12)]
    return np.where(np.isfinite(best), best, np.nan)


def _sorted(losses: np.ndarray) -> np.ndarray:
    losses = np.sort(np.asarray(losses, dtype=float))
    if np.isnan(losses).any():
        raise ValueError("losses must be numbers: infinite where a trial diverged")
    return losses
