"""The fixed design with which a tuning begins, before a sampler takes over; a grid is nothing else."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
from scipy.stats import qmc

from optbench.optimizers.search_space import Choices, Range, Space, active
from optbench.planning.matrix import Cell

#: Points nearer to each other than this share of every range's width count as one.
SAME_POINT = 0.02


def design_size(cell: Cell) -> int:
    """Number of trials after trial 0 that follow a fixed design before a sampler takes over.

    The design (a Halton sequence: the middle of the range first, then its quarters, …) covers the
    range evenly, which independent random points don't when there are few of them. It fills the
    first round, of which a sampler knows nothing yet, and tunings of up to 11 trials: on fewer than ten
    observations TPE finds worse rates than the design does (tests/tuning/test_rounds.py).
    """
    match cell.sampler:
        case "quasi-random":
            return 2**31
        case "grid":
            return max(1, math.floor(cell.worth) - 1)
        case "random":
            return 0
        case _:
            return max(min(10, max(3, math.floor(cell.worth) - 1)), cell.round - 1)


def design_point(cell: Cell, number: int, space: Space) -> list[float] | None:
    """Shares of the ranges (sorted by name) for trial `number`, or None after the design's end.

    A point of the Halton sequence at the default, which trial 0 has tried, is passed over.
    """
    if number > design_size(cell):
        return None
    dimensions = len(cell.optimizer.search)
    if cell.sampler == "grid":
        points = _grid(space, design_size(cell))
        return points[number - 1] if number <= len(points) else None
    halton = qmc.Halton(dimensions, scramble=False)
    halton.fast_forward(1)  # its point 0 is the low edge of every range
    drawn = halton.random(2 * number)  # far more than are passed over
    if (default := _default_point(cell, space)) is not None:
        drawn = drawn[np.abs(drawn - default).max(axis=1) > SAME_POINT]
    return [float(share) for share in drawn[number - 1]]


def _grid(space: Space, size: int) -> list[list[float]]:
    """Shares of the ranges (sorted by name) of a grid of about so many points: all values of lists, and as many of
    every range. Points that differ only in what has no meaning there are one.
    """
    lists = math.prod(len(found.values) for found in space.values() if isinstance(found, Choices))
    ranges = sum(isinstance(found, Range) for found in space.values())
    side = max(1, math.floor((size / lists) ** (1 / max(ranges, 1)) + 1e-9))
    names = sorted(space)
    sides = [len(found.values) if isinstance(found := space[name], Choices) else side for name in names]
    points: dict[tuple[Any, ...], list[float]] = {}
    for places in product(*map(range, sides)):
        shares = [(place + 0.5) / count for place, count in zip(places, sides, strict=True)]
        drawn = {name: space[name].at(share) for name, share in zip(names, shares, strict=True)}
        on = active(space, drawn)
        points.setdefault(tuple((name, drawn[name]) for name in names if name in on), shares)
    return list(points.values())


def _default_point(cell: Cell, space: Space) -> np.ndarray | None:
    """The default as shares of the ranges, where it lies in them."""
    try:
        return np.array([space[name].position(cell.optimizer.defaults[name]) for name in sorted(space)])
    except (KeyError, ValueError, TypeError):
        return None
