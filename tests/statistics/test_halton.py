"""The Halton sequence: the bits of SciPy's, since the rates that a tuning tries depend on them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from optbench.statistics.halton import halton


@pytest.mark.parametrize(("dimensions", "first"), [(1, 0), (2, 1), (7, 5), (40, 1)])
def test_the_points_are_those_of_scipy(dimensions: int, first: int) -> None:
    sampler = qmc.Halton(dimensions, scramble=False)
    sampler.fast_forward(first)
    points = halton(500, dimensions, first)
    assert points.shape == (500, dimensions)
    np.testing.assert_array_equal(points, sampler.random(500))


def test_the_first_points_halve_and_quarter_the_range() -> None:
    assert halton(7, 1, 1)[:, 0].tolist() == [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]


def test_no_point_and_no_dimension_are_empty() -> None:
    assert halton(0, 2).shape == (0, 2)
    assert halton(3, 0).shape == (3, 0)
