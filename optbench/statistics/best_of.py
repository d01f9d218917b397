"""The expected and the median best loss of k independent trials, estimated from n ≥ k of them."""

from __future__ import annotations

import numpy as np


def mean_best(losses: np.ndarray) -> np.ndarray:
    """Returns the mean, over all subsets of size k, of their smallest loss, for k = 1 … n.

        Σᵢ C(n − i, k − 1)/C(n, k) · L₍ᵢ₎  over the sorted losses L₍₁₎ ≤ … ≤ L₍ₙ₎

    is the unbiased U-statistic (Tang et al. 2020). Drawing with replacement instead (Dodge et al. 2019) is biased
    towards worse losses. The losses must be independent draws from one distribution, as in random search.

    Args:
        losses: Losses of n trials, of shape (n,); infinite for a diverged trial.

    Returns:
        An array of shape (n,), NaN for every k for which some subset has only diverged trials.

    Raises:
        ValueError: A loss is NaN.
    """
    ordered = _sort(losses)
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
    """Returns the lower median, over all subsets of size k, of their smallest loss, for k = 1 … n.

    It is the smallest L₍ᵢ₎ with 1 − C(n − i, k)/C(n, k) ≥ ½. Unlike the mean, it is finite if only few trials diverged.

    Args:
        losses: Losses of n trials, of shape (n,); infinite for a diverged trial.

    Returns:
        An array of shape (n,), NaN where the median is infinite.

    Raises:
        ValueError: A loss is NaN.
    """
    ordered = _sort(losses)
    n = len(ordered)
    best = np.full(n, np.nan)
    for k in range(1, n + 1):
        i = np.arange(1, n + 1)
        # C(n − i, k)/C(n, k), factor by factor.
        above = np.cumprod(np.maximum(n - k - i + 1, 0) / (n - i + 1))
        best[k - 1] = ordered[np.argmax(1 - above >= 0.5 - 1e-12)]
    return np.where(np.isfinite(best), best, np.nan)


def _sort(losses: np.ndarray) -> np.ndarray:
    losses = np.sort(np.asarray(losses, dtype=float))
    if np.isnan(losses).any():
        raise ValueError("losses contain NaN (accepted: finite numbers, or infinity for a diverged trial)")
    return losses
