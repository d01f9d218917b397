"""Which points of a search space are the same, compared with a plain enumeration of all values."""

from __future__ import annotations

from itertools import product

import pytest

from optbench.optimizers.points import finite_points, is_finite, may_repeat, point_of
from optbench.optimizers.search_space import Choices, Range, Space, make_condition

NAMES = Choices(("flat", "cosine"))
COUNT = Range(1, 3, log=False, whole=True)
CONDITIONAL: Space = {
    "after": Range(2, 4, log=False, whole=True, when=make_condition({"zeroes": [0]})),
    "shape": NAMES,
    "zeroes": Range(2, 3, whole=True, zero=True, when=make_condition({"shape": "cosine"})),
}


@pytest.mark.parametrize(
    ("space", "count"),
    [
        ({"shape": NAMES}, 2),
        ({"shape": NAMES, "count": COUNT}, 6),
        ({"pair": Choices(((0.9, 0.99), (0.8, 0.9))), "on": Choices((True, False)), "count": COUNT}, 12),
        (CONDITIONAL, 1 + 2 + 3),
    ],
)
def test_finite_points_are_all_points_and_each_is_there_once(space: Space, count: int) -> None:
    assert is_finite(space)
    assert may_repeat(space)
    values = {name: [0, *range(1, 5)] if isinstance(tried, Range) else tried.values for name, tried in space.items()}
    every = [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
    expected = {
        point_of(space, one) for one in every if all(space[name].contains(value) for name, value in one.items())
    }
    found = [point_of(space, one) for one in finite_points(space)]
    assert len(found) == len(set(found)) == count
    assert set(found) == expected


def test_which_spaces_repeat_points() -> None:
    rate = Range(1e-3, 1.0)
    assert not may_repeat({})
    assert not may_repeat({"lr": rate, "shape": NAMES, "decay": Range(1e-3, 1.0, zero=True)})
    assert may_repeat({"decay": Range(1e-3, 1.0, zero=True)})
    assert may_repeat({"shape": NAMES, "warmup": Range(0, 0.2, log=False, when=make_condition({"shape": "cosine"}))})
    assert not is_finite({"shape": NAMES, "decay": Range(1e-3, 1.0, zero=True)})
