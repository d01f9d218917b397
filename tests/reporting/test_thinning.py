"""Thinning keeps ends and extremes where they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.reporting.curves import thin_series


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=900), st.integers(8, 80))
def test_ends_and_extremes_stay(values: list[float], points: int) -> None:
    series = np.array(values)
    kept = thin_series(series, points=points)
    assert list(kept) == sorted(set(kept))
    assert kept[0] == 0
    assert kept[-1] == len(series) - 1
    finite = np.isfinite(series)
    if finite.any():
        assert np.nanmin(series[kept]) == series[finite].min()
        assert np.nanmax(series[kept]) == series[finite].max()
        # In each part too: what lies between two kept points is between extremes that are kept near it.
        width = -(-len(series) // max(points // 2, 1))
        for place in np.flatnonzero(finite):
            near = series[kept[np.abs(kept - place) <= width]]
            assert np.nanmin(near) <= series[place] <= np.nanmax(near)


def test_several_series_share_their_places_and_keep_each_ones_extremes() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(size=1000), rng.normal(size=1000)
    kept = thin_series(one, other, points=40)
    assert len(kept) <= 42
    for series in (one, other):
        assert series[kept].min() == series.min()
        assert series[kept].max() == series.max()


@pytest.mark.parametrize("length", [1, 2, 64])
def test_short_curves_are_whole(length: int) -> None:
    assert list(thin_series(np.zeros(length))) == list(range(length))
