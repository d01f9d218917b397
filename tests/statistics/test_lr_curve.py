"""A loss against the rate: what is known between the rates that were tried, and what isn't."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.statistics.lr_curve import LrCurve

INF = math.inf


def test_linear_in_the_logarithm_between_rates_that_trained() -> None:
    curve = LrCurve.from_trials(np.array([1e-1, 1e-3, 1e-2, 1.0, 10.0]), np.array([1.0, 3.0, 2.0, INF, INF]))
    assert curve.rates.tolist() == [1e-3, 1e-2, 1e-1, 1.0, 10.0]
    rng = np.random.default_rng(0)
    for rate in 10 ** rng.uniform(-3, -1, 20):
        assert curve.interpolate(rate) == pytest.approx(
            np.interp(math.log(rate), np.log(curve.rates[:3]), [3.0, 2.0, 1.0])
        )
    for rate, loss in zip(curve.rates, curve.losses, strict=True):
        assert curve.interpolate(rate) == loss
    assert math.isnan(curve.interpolate(0.3)), "between one that trained and one that diverged"
    assert curve.interpolate(5.0) == INF
    assert math.isnan(curve.interpolate(1e-4))
    assert math.isnan(curve.interpolate(20.0))
    assert curve.diverges_from == 1.0
    assert curve.best == (1e-1, 1.0)


def test_tolerance_on_a_known_parabola() -> None:
    """Loss 1 + x² in decades x, tried on a fine grid: within 5 % for |x| ≤ √0.05."""
    x = np.linspace(-2, 2, 401)
    within = LrCurve.from_trials(10.0**x, 1 + x**2).find_tolerance(1.05)
    assert math.log10(within.cross_high / within.cross_low) == pytest.approx(2 * math.sqrt(0.05), abs=1e-3)
    assert math.log10(within.high / within.low) == pytest.approx(0.44)
    assert math.log10(within.beyond_high / within.beyond_low) == pytest.approx(0.46)
    assert within.count == 45


def test_ends_that_are_not_known_are_missing() -> None:
    curve = LrCurve.from_trials(np.array([0.1, 1.0, 10.0]), np.array([1.0, 1.01, INF]))
    within = curve.find_tolerance(1.05)
    assert (within.count, within.low, within.high, within.beyond_high) == (2, 0.1, 1.0, 10.0)
    assert math.isnan(within.beyond_low)
    assert math.isnan(within.cross_high), "from one that trained to one that diverged nothing is interpolated"


def test_the_edges() -> None:
    curve = LrCurve.from_trials(np.array([0.1, 0.1, -1.0, 1.0, math.inf]), np.array([1.0, 2.0, 0.0, math.nan, 0.5]))
    assert curve.rates.tolist() == [0.1]
    assert curve.losses.tolist() == [1.5], "two trials at one rate"
    assert math.isnan(curve.diverges_from)
    none = LrCurve.from_trials(np.array([]), np.array([]))
    assert math.isnan(none.interpolate(1.0))
    assert all(map(math.isnan, none.best))
    lost = LrCurve.from_trials(np.array([0.1, 1.0]), np.array([INF, INF]))
    assert lost.diverges_from == 0.1
    assert lost.find_tolerance(1.0).count == 0
