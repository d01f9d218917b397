"""The fixed design of the first trials of a tuning, before a sampler takes over; a grid is a design only."""

from __future__ import annotations

import math
from itertools import product, takewhile

import numpy as np

from optbench.optimizers.points import Point, may_repeat, point_of
from optbench.optimizers.search_space import Choices, Range, Space
from optbench.planning.matrix import Cell
from optbench.statistics.halton import halton

#: Two points count as equal if they differ by less than this fraction of every range's width.
SAME_POINT = 0.02


def design_size(cell: Cell) -> int:
    """Returns the number of trials after trial 0 that follow a fixed design, before a sampler takes over.

    The design is a Halton sequence: the middle of the range first, then its quarters, …. It covers the range evenly,
    unlike a few independent random points. It is used for the first round, before which a sampler has no observations,
    and for tunings of up to 11 trials: with fewer than ten observations, TPE finds worse learning rates than the design
    (see tests/tuning/test_rounds.py).
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
    """Returns a point of the design.

    Points of the Halton sequence that coincide with the default, which is trial 0, are skipped. So are repeated points,
    where the search space has such.

    Args:
        cell: The cell.
        number: Number of the trial, from 1.
        space: The search space.

    Returns:
        Coordinates from 0 to 1 in each range, sorted by name; None after the end of the design.
    """
    if number > design_size(cell):
        return None
    return _point(cell, number, space, design_size(cell))


def design_points(cell: Cell, space: Space, count: int) -> list[list[float]]:
    """Returns the first points of the design; fewer if the space has no more.

    Args:
        cell: The cell.
        space: The search space.
        count: Number of points.
    """
    points = (_point(cell, number, space, count) for number in range(1, count + 1))
    return list(takewhile(bool, (point or [] for point in points)))


def _point(cell: Cell, number: int, space: Space, size: int) -> list[float] | None:
    points = _grid(space, size) if cell.sampler == "grid" else _halton(cell, number, space)
    if may_repeat(space):
        points = _distinct(cell, space, points)
    elif (default := _default_point(cell, space)) is not None:
        points = [point for point in points if np.abs(np.array(point) - default).max() > SAME_POINT]
    return points[number - 1] if number <= len(points) else None


def _halton(cell: Cell, number: int, space: Space) -> list[list[float]]:
    """Returns enough points for the one with this number to be among those that remain."""
    count = 16 * number + 64 if may_repeat(space) else 2 * number
    # Point 0 is the lower edge of every range.
    points: list[list[float]] = halton(count, len(cell.optimizer.search), first=1).tolist()
    return points


def _grid(space: Space, size: int) -> list[list[float]]:
    """Returns the coordinates of a grid with about `size` points.

    The grid contains all values of lists, and the same number of values for each range. Points that differ only in
    hyperparameters without effect there are included once.
    """
    lists = math.prod(len(values.values) for values in space.values() if isinstance(values, Choices))
    ranges = sum(isinstance(values, Range) for values in space.values())
    side = max(1, math.floor((size / lists) ** (1 / max(ranges, 1)) + 1e-9))
    names = sorted(space)
    points: dict[Point, list[float]] = {}
    for shares in product(*(space[name].grid(side) for name in names)):
        values = {name: space[name].at(share) for name, share in zip(names, shares, strict=True)}
        points.setdefault(point_of(space, values), list(shares))
    return list(points.values())


def _distinct(cell: Cell, space: Space, points: list[list[float]]) -> list[list[float]]:
    """Returns the coordinates without those of the default's point, and of points that were there before."""
    known = {point_of(space, cell.optimizer.defaults)}
    distinct = []
    for shares in points:
        point = point_of(
            space, {name: space[name].at(share) for name, share in zip(sorted(space), shares, strict=True)}
        )
        if point not in known:
            known.add(point)
            distinct.append(shares)
    return distinct


def _default_point(cell: Cell, space: Space) -> np.ndarray | None:
    """Returns the coordinates of the default; None if it is not in the ranges."""
    try:
        return np.array([space[name].position(cell.optimizer.defaults[name]) for name in sorted(space)])
    except (KeyError, ValueError, TypeError):
        return None
