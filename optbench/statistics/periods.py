"""Finds the period of rare expensive steps, so that a mean can be taken over whole periods."""

from __future__ import annotations

import numpy as np

#: A step is rare if it takes this many times as long as the median of the steps around it.
RARE_FACTOR = 1.5
#: Number of steps, itself included, with which a step is compared.
_AROUND = 9


def find_rare_steps(seconds: np.ndarray) -> np.ndarray:
    """Returns for each step whether it takes much longer than most of the steps around it.

    Args:
        seconds: Times of consecutive steps, shape (steps,).

    Returns:
        Booleans, shape (steps,). None is rare if there are too few steps to compare.
    """
    if len(seconds) < _AROUND:
        return np.zeros(len(seconds), dtype=bool)
    half = _AROUND // 2
    around = np.lib.stride_tricks.sliding_window_view(np.pad(seconds, half, mode="reflect"), _AROUND)
    return np.asarray(seconds > RARE_FACTOR * np.median(around, axis=1))


def find_period(rare: np.ndarray) -> int | None:
    """Returns the number of steps after which the pattern of rare steps repeats.

    Args:
        rare: Whether each step is rare, shape (steps,).

    Returns:
        The smallest period, of which the steps have at least two; None if there is none.
    """
    if not rare.any():
        return None
    periods = range(2, len(rare) // 2 + 1)
    return next((period for period in periods if np.array_equal(rare[:-period], rare[period:])), None)


def period_weights(rare: np.ndarray, first: int) -> np.ndarray:
    """Returns the weights with which the mean over steps becomes a mean over whole periods.

    Without a period, the first steps have equal weights. With a period, the rare steps together have the share that
    they have in a period, wherever they are. The other ones of the first steps share the rest.

    Args:
        rare: Whether each step is rare, shape (steps,).
        first: Number of steps over which the mean is taken; the steps after them only help to find a period.

    Returns:
        Weights with sum 1, shape (steps,).
    """
    period = find_period(rare)
    steps = np.arange(len(rare)) < first
    others = steps & ~rare
    if period is None or not others.any():
        return steps / steps.sum()
    share = rare[:period].mean()
    return share * rare / rare.sum() + (1 - share) * others / others.sum()
