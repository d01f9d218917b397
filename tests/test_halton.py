"""The Halton sequence is that of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from optbench.halton import halton


@pytest.mark.parametrize(("points", "dimensions"), [(1, 1), (7, 2), (3000, 12)])
def test_the_points_are_scipys_bit_by_bit(points: int, dimensions: int) -> None:
    known = qmc.Halton(dimensions, scramble=False)
    known.fast_forward(1)
    np.testing.assert_array_equal(halton(points, dimensions), known.random(points))


def test_the_middle_comes_first_and_then_the_quarters() -> None:
    assert halton(3, 1).ravel().tolist() == [0.5, 0.25, 0.75]


def test_without_dimensions_points_are_empty() -> None:
    assert halton(3, 0).shape == (3, 0)
