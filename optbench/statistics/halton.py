"""The Halton sequence, whose points cover a cube evenly, however many of them are taken."""

from __future__ import annotations

import numpy as np


def halton(count: int, dimensions: int, first: int = 0) -> np.ndarray:
    """Returns points of the Halton sequence (Halton 1960), without a scrambling.

    A coordinate of point n is n with its digits mirrored at the point, in the base of its dimension: the first primes.
    SciPy has the sequence too, but importing `scipy.stats` takes a third of the time of importing torch.

    Args:
        count: The number of points.
        dimensions: The number of coordinates.
        first: The number of the first point; point 0 is the origin.

    Returns:
        Coordinates from 0 to below 1, shape (count, dimensions).
    """
    numbers = np.arange(first, first + count)
    columns = [_mirror(numbers, base) for base in _first_primes(dimensions)]
    return np.stack(columns, axis=1) if columns else np.empty((count, 0))


def _mirror(numbers: np.ndarray, base: int) -> np.ndarray:
    """Returns whole numbers with their digits in a base mirrored at the point."""
    mirrored, rest, scale = np.zeros(len(numbers)), numbers, 1.0
    while rest.any():
        scale /= base
        rest, digits = np.divmod(rest, base)
        mirrored += digits * scale
    return mirrored


def _first_primes(count: int) -> list[int]:
    primes: list[int] = []
    number = 2
    while len(primes) < count:
        if all(number % prime for prime in primes):
            primes.append(number)
        number += 1
    return primes
