"""One tolerance for equality: exact counts, rounding, failures, and what is really different."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.statistics.equality import are_equal, meets, merge_equal
from optbench.statistics.ranks import ranks, wilcoxon_holm
from optbench.statistics.survival import first_crossing

#: 280 of 297 as means of single-precision means have several values.
_SINGLE = [float(np.float32(280) / np.float32(297)), 280 / 297, 280 / 297 * (1 + 4e-8)]


def test_rounding_is_equal_and_one_example_in_a_hundred_thousand_is_not() -> None:
    assert are_equal(np.array(_SINGLE), 280 / 297).all()
    assert not are_equal(99_999 / 100_000, 1.0)
    assert are_equal(np.inf, np.inf)
    assert not are_equal(np.inf, 1e300)
    assert not are_equal(np.nan, np.nan)


def test_equal_values_share_a_rank_wherever_they_stand() -> None:
    values = np.array([0.5, *_SINGLE, np.inf, 0.9, np.inf])
    np.testing.assert_array_equal(ranks(values), [1, 4, 4, 4, 6.5, 2, 6.5])
    assert np.isnan(merge_equal(np.array([np.nan, 1.0]))[0])


def test_merging_does_not_chain() -> None:
    """Each value lies within the tolerance of the one before, but the last is far from the first."""
    chain = 1 + 0.8e-6 * np.arange(4)
    assert len(set(merge_equal(chain))) == 2


@pytest.mark.parametrize(("higher", "sign"), [(True, 1), (False, -1)])
def test_a_target_is_met_by_an_equal_value(higher: bool, sign: int) -> None:
    for value in _SINGLE:
        assert meets(value, 280 / 297)
        curve = [sign * 0.5, sign * value, sign * value]
        assert first_crossing([0, 10, 20], curve, sign * 280 / 297, higher) == pytest.approx(10, rel=1e-5)
    assert first_crossing([0, 10], [sign * 0.5, sign * 279 / 297], sign * 280 / 297, higher) is None


def test_equal_losses_are_no_evidence() -> None:
    losses = np.array([[0.95, 0.95 * (1 + 3e-8 * k)] for k in range(1, 9)])
    assert wilcoxon_holm(losses)[0, 1] == 1.0
