"""Verdicts from made-up measurements, both ways and undecided; intervals against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN, Measurement, around, estimate, exact, table, together

numbers = st.floats(-100, 100)


@given(bounds=st.tuples(numbers, numbers), accepted=st.tuples(numbers, numbers), at=st.floats(0, 1))
def test_a_verdict_is_inclusion_or_disjointness_of_intervals(
    bounds: tuple[float, float], accepted: tuple[float, float], at: float
) -> None:
    low, high = sorted(bounds)
    least, most = sorted(accepted)
    verdict = Measurement("q", low, low, high, (least, most)).verdict
    # Every value that the measurement allows is asked by itself.
    inside = [least <= value <= most for value in np.union1d(np.linspace(low, high, 101), [low, high])]
    if verdict == HOLDS:
        assert all(inside)
    elif verdict == FAILS:
        assert not any(inside)
    else:
        assert not (low >= least and high <= most)
        assert high >= least
        assert low <= most


@pytest.mark.parametrize(
    ("low", "high", "accepted", "verdict"),
    [
        (1.1, 1.3, (1.0, math.inf), HOLDS),
        (0.7, 0.9, (1.0, math.inf), FAILS),
        (0.9, 1.1, (1.0, math.inf), UNKNOWN),
        (math.nan, math.nan, (1.0, math.inf), UNKNOWN),
        (5.0, 5.0, (4.9, 5.1), HOLDS),
        (5.2, 5.2, (4.9, 5.1), FAILS),
        (math.inf, math.inf, (4.9, 5.1), FAILS),
        (4.0, 6.0, (4.9, 5.1), UNKNOWN),
    ],
)
def test_verdicts(low: float, high: float, accepted: tuple[float, float], verdict: str) -> None:
    assert Measurement("q", low, low, high, accepted).verdict == verdict


def test_an_estimate_is_the_mean_with_students_interval() -> None:
    values = np.random.default_rng(3).normal(2.0, 1.0, 7)
    found = estimate("q", values, (0, 4), 2.0)
    interval = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    assert (found.measured, found.low, found.high, found.n) == pytest.approx((values.mean(), *interval, 7))


def test_ratios_are_averaged_geometrically() -> None:
    found = estimate("q", [0.5, 2.0, 1.0], (0.1, 10), logarithmic=True)
    assert found.measured == pytest.approx(1)
    assert found.low == pytest.approx(1 / found.high)


@pytest.mark.parametrize("samples", [[], [1.0], [1.0, math.nan, 1.0], [1.0, math.inf, 1.0]])
def test_too_few_or_failed_samples_decide_nothing(samples: list[float]) -> None:
    assert estimate("q", samples, (0, 2)).verdict == UNKNOWN


def test_a_ratio_of_a_failed_run_decides_nothing() -> None:
    assert estimate("q", [1.0, 0.0, 1.1], (0, 2), logarithmic=True).verdict == UNKNOWN


def test_intervals_decide_wrongly_as_rarely_as_they_say() -> None:
    """A claim that is true at the edge of what it accepts is refuted in at most 2.5 % of 2,000 measurements."""
    samples = np.random.default_rng(0).normal(1.0, 0.3, (2000, 6))
    verdicts = [estimate("q", values, (1.0, math.inf)).verdict for values in samples]
    assert verdicts.count(FAILS) / 2000 == pytest.approx(0.025, abs=0.01)
    assert verdicts.count(HOLDS) / 2000 == pytest.approx(0.025, abs=0.01)


def test_together() -> None:
    holds, fails, unknown = (exact("q", value, (0.0, 1.0)) for value in (0.5, 2.0, math.nan))
    assert together([holds, holds]) == HOLDS
    assert together([holds, unknown]) == UNKNOWN
    assert together([holds, unknown, fails]) == FAILS
    assert together([]) == UNKNOWN


def test_the_table_shows_what_is_accepted() -> None:
    measurements = [
        exact("a", 9.9, around(10.0, 0.05), 10.0),
        exact("b", 2.0, (1.0, math.inf)),
        exact("c", 2.0, (-math.inf, 1.0)),
    ]
    shown = table(measurements)
    assert shown["predicted"].tolist() == ["10 (9.5 to 10.5)", "≥ 1", "≤ 1"]
    assert shown["verdict"].tolist() == [HOLDS, HOLDS, FAILS]
