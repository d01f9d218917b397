"""The points of a search space: which of them are the same, and how many there are.

Only active hyperparameters make a difference, so a point consists of their values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from optbench.optimizers.search_space import Choices, Range, Space, active_hyperparameters

#: The active hyperparameters with their values, sorted by name.
Point = tuple[tuple[str, Any], ...]


def point_of(space: Space, values: Mapping[str, Any]) -> Point:
    """Return the point of a search space to which values belong; equal points are the same training on a seed.

    Args:
        space: The search space.
        values: Values of all active hyperparameters, and of others.
    """
    return tuple((name, values.get(name)) for name in sorted(active_hyperparameters(space, values)))


def may_repeat(space: Space) -> bool:
    """Whether samplers may propose a point again: no continuous hyperparameter is active in all trials."""
    return bool(space) and not any(tried.continuous and not tried.when for tried in space.values())


def is_finite(space: Space) -> bool:
    """Whether a search space has a finite number of points: lists and ranges of whole numbers only."""
    return all(isinstance(tried, Choices) or tried.whole for tried in space.values())


def finite_points(space: Space) -> Iterator[dict[str, Any]]:
    """Yield the points of a finite search space, each once, as values of its active hyperparameters."""
    # A hyperparameter comes after those in its condition.
    names: list[str] = []
    while waiting := [name for name in sorted(space) if name not in names]:
        names += [name for name in waiting if all(key in names or key not in space for key, _ in space[name].when)]

    def extend(values: dict[str, Any], place: int) -> Iterator[dict[str, Any]]:
        if place == len(names):
            yield values
            return
        name = names[place]
        if all(key in values and values[key] in of for key, of in space[name].when):
            for value in _values(space[name]):
                yield from extend({**values, name: value}, place + 1)
        else:
            yield from extend(values, place + 1)

    return extend({}, 0)


def _values(tried: Range | Choices) -> Iterator[Any]:
    if isinstance(tried, Choices):
        return iter(tried.values)
    return chain([0] if tried.zero else [], range(math.ceil(tried.low), math.floor(tried.high) + 1))
