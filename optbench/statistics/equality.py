"""When two values are equal: one tolerance for ranks, targets, tests and texts.

Losses and metrics are computed in single precision and in an order that depends on the machine. Two optimizers that get
the same number of examples right have the same accuracy, whatever its last digits.
"""

from __future__ import annotations

import numpy as np

#: Values closer than this, relative to their size, are equal.
RESOLUTION = 1e-6


def are_equal(values: np.ndarray | float, others: np.ndarray | float) -> np.ndarray:
    """Whether values are equal up to the rounding of single precision; two infinite values of one sign are equal."""
    return np.isclose(values, others, rtol=RESOLUTION, atol=0.0)


def meets(values: np.ndarray, target: np.ndarray | float) -> np.ndarray:
    """Whether values are at least as high as a target, or equal to it.

    >>> bool(meets(np.float32(0.95), 0.95))
    True
    """
    return (values >= target) | are_equal(values, target)


def merge_equal(values: np.ndarray) -> np.ndarray:
    """Replaces each value by the lowest of those that are equal to it, so that equal values tie in a ranking.

    Args:
        values: Values of shape (n,); NaN stays NaN.

    >>> merge_equal(np.array([0.95, 0.9500000001, 0.7])).tolist()
    [0.95, 0.95, 0.7]
    """
    merged = np.array(values, dtype=float)
    lowest = np.nan
    for place in np.argsort(merged, kind="stable"):
        if not are_equal(merged[place], lowest):
            lowest = merged[place]
        merged[place] = lowest
    return merged
