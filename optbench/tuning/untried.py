"""Proposals in search spaces in which a sampler proposes points again: no point is tried and paid for twice.

The luckiest of many seeds of one point would win otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import numpy as np
import optuna

from optbench.optimizers.points import Point, finite_points, is_finite, point_of
from optbench.optimizers.search_space import Space
from optbench.tuning.study import ask_trial, decode, encode

#: How often a sampler is asked that proposes points again, before a point is drawn at random.
ASKED = 10
#: Number of points, in addition to those that were tried, from which one is drawn.
DRAWN = 1000


def count_points(space: Space, tried: Collection[Point]) -> int:
    """Returns the number of points of a finite search space if all of them were tried, otherwise 0.

    Args:
        space: The search space.
        tried: The points that were tried.
    """
    if not is_finite(space):
        return 0
    points = list(islice(finite_points(space), len(tried) + 1))
    return len(points) if all(point_of(space, values) in tried for values in points) else 0


def ask_untried(
    study: optuna.Study, space: Space, tried: Collection[Point], random: np.random.Generator
) -> dict[str, Any] | None:
    """Asks a study for a point that was not tried.

    Args:
        study: The study.
        space: The search space.
        tried: The points that were tried.
        random: Draws a point if the sampler proposes only points that were tried.

    Returns:
        The values of the active hyperparameters; None if all points were tried.
    """
    if count_points(space, tried):
        return None
    for _ in range(ASKED):
        values = decode(space, ask_trial(study, space).params)
        if point_of(space, values) not in tried:
            return values
    others = [values for values in _candidates(space, len(tried), random) if point_of(space, values) not in tried]
    if not others:
        return None
    study.enqueue_trial(encode(space, others[random.integers(len(others))]))
    return decode(space, ask_trial(study, space).params)


def _candidates(space: Space, tried: int, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    if is_finite(space):
        yield from islice(finite_points(space), tried + DRAWN)
    else:
        for _ in range(DRAWN):
            values = {name: space[name].at(float(random.random())) for name in sorted(space)}
            yield dict(point_of(space, values))
