"""Rare steps, their period, and means over whole periods."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.statistics.periods import find_period, find_rare_steps, period_weights


def _mean(seconds: np.ndarray, first: int | None = None) -> float:
    weights = period_weights(find_rare_steps(seconds), first or len(seconds))
    assert weights.sum() == pytest.approx(1)
    return float(weights @ seconds)


@pytest.mark.parametrize(("period", "start"), [(3, 0), (7, 4), (10, 9), (12, 11)])
def test_a_mean_over_whole_periods(period: int, start: int) -> None:
    seconds = np.ones(25)
    seconds[start::period] += 8
    assert find_period(find_rare_steps(seconds)) == period
    assert _mean(seconds) == pytest.approx(1 + 8 / period)
    assert _mean(seconds, 5 * period // 2) == pytest.approx(1 + 8 / period)


def test_two_rare_steps_in_a_row_are_one_period() -> None:
    seconds = np.ones(40)
    seconds[[4, 5, 14, 15, 24, 25, 34, 35]] = 6
    assert find_period(find_rare_steps(seconds)) == 10
    assert _mean(seconds) == pytest.approx(2)


def test_what_does_not_repeat_has_no_period() -> None:
    """Noise, a level that rises, and single steps: the mean is that of the first steps."""
    rng = np.random.default_rng(0)
    noise = 1 + 0.2 * rng.random(60)
    assert find_period(find_rare_steps(noise)) is None
    assert _mean(noise, 40) == pytest.approx(noise[:40].mean())
    rising = np.repeat([1.0, 5.0], 30)
    assert _mean(rising) == pytest.approx(3)
    single = np.ones(60)
    single[[10, 15]] = 9
    assert find_period(find_rare_steps(single)) is None
    assert _mean(single) == pytest.approx(single.mean())
    assert _mean(np.array([1.0, 2.0, 9.0])) == pytest.approx(4)


def test_rare_steps_on_a_rising_level_keep_their_share() -> None:
    seconds = np.repeat([1.0, 3.0], 50)
    seconds[9::10] += 20
    assert _mean(seconds) == pytest.approx(2 + 20 / 10, rel=0.02)
