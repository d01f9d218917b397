"""The Halton sequence. scipy.stats has it too, but takes a second to import, which every worker would wait for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

import numpy as np


def halton(points: int, dimensions: int) -> np.ndarray:
    """The first points of the sequence (Halton 1960) without scrambling, each a row of shares in (0, 1).

    They are those of `scipy.stats.qmc.Halton`, bit by bit, but for its point 0, which is 0 in every dimension.
    """
    columns = [[_mirrored(n, prime) for n in range(1, points + 1)] for prime in islice(_primes(), dimensions)]
    return np.array(columns).T.reshape(points, dimensions)


def _mirrored(number: int, base: int) -> float:
    """The number's digits in this base, mirrored at the point: 6 = 110 in base 2 becomes 0.011 = 3/8."""
    share, weight = 0.0, 1 / base
    while number:
        number, digit = divmod(number, base)
        share += digit * weight
        weight /= base
    return share


def _primes() -> Iterator[int]:
    found: list[int] = []
    for candidate in count(2):
        if all(candidate % prime for prime in found):
            found.append(candidate)
            yield candidate
