"""The first crossing against a search in small steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.statistics.survival import first_crossing


def by_search(at: Sequence[float], metric: Sequence[float | None], target: float, higher: bool) -> float | None:
    """Walks along the running best in tiny steps, as one would with a ruler."""
    known = [(x, y) for x, y in zip(at, metric, strict=True) if y is not None and math.isfinite(y)]
    if not known:
        return None
    best: list[tuple[float, float]] = []
    for x, y in known:
        better = y if not best else (max if higher else min)(best[-1][1], y)
        best.append((x, better))
    meets = (lambda y: y >= target) if higher else (lambda y: y <= target)
    if meets(best[0][1]):
        return best[0][0]
    for (x0, y0), (x1, y1) in pairwise(best):
        for share in np.linspace(0, 1, 2001):
            if meets(y0 + share * (y1 - y0)):
                return float(x0 + share * (x1 - x0))
    return None


_metrics = st.lists(
    st.none() | st.sampled_from([math.nan, math.inf, -math.inf]) | st.integers(-50, 50).map(lambda n: n / 10),
    min_size=1, max_size=8,
)  # fmt: skip


@given(metric=_metrics, target=st.integers(-50, 50).map(lambda n: n / 10), higher=st.booleans(), data=st.data())
def test_against_a_search_in_small_steps(
    metric: list[float | None], target: float, higher: bool, data: st.DataObject
) -> None:
    gaps = data.draw(st.lists(st.integers(1, 9), min_size=len(metric), max_size=len(metric)))
    at = [float(x) for x in np.cumsum(gaps)]
    expected = by_search(at, metric, target, higher)
    found = first_crossing(at, metric, target, higher)
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, abs=(at[-1] - at[0] + 1) / 1000)


def test_between_two_points_it_is_linear() -> None:
    assert first_crossing([0, 100], [0.0, 1.0], 0.25, True) == 25
    assert first_crossing([0, 100], [1.0, 0.0], 0.25, False) == 75


def test_a_target_met_at_the_start_or_exactly_at_a_point() -> None:
    assert first_crossing([5, 10], [1.0, 0.0], 0.5, True) == 5
    assert first_crossing([0, 10, 20], [0.0, 0.5, 1.0], 0.5, True) == 10


def test_a_later_setback_does_not_count() -> None:
    """Best so far 0.4: from there to 0.8, not from the setback at 0.0."""
    assert first_crossing([0, 10, 20], [0.4, 0.0, 0.8], 0.6, True) == 15


@pytest.mark.parametrize("metric", [[None, None], [math.nan, math.nan], [], [0.1, 0.2]])
def test_a_target_that_is_never_met(metric: list[float | None]) -> None:
    assert first_crossing(list(range(len(metric))), metric, 0.5, True) is None


def test_missing_points_are_passed_over() -> None:
    assert first_crossing([0, 10, 20], [0.0, None, 1.0], 0.5, True) == 10
    assert first_crossing([0, 10, 20], [0.0, math.inf, 1.0], 0.5, True) == 10
