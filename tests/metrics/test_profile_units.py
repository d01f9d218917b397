"""Medians of units against counting, and the coverage of the interval that resampling them gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.metrics.profile_units import Pool, profile_units
from optbench.statistics.bootstrap import bootstrap_interval
from optbench.statistics.profiles import area
from tests.support.profiled import MISS, UNKNOWN, times_of


def test_medians_of_the_seeds_that_all_have() -> None:
    times = times_of({
        ("adam", "p", "easy"): [10.0, MISS, 30.0, UNKNOWN], ("sgd", "p", "easy"): [5.0, 7.0, MISS, 1.0],
        ("adam", "q", "easy"): [MISS, MISS, 1.0], ("nadam", "q", "easy"): [4.0, 2.0],
    })  # fmt: skip
    units = profile_units(times.sample(frac=1, random_state=3))
    assert units.optimizers == ["adam", "nadam", "sgd"]
    assert units.keys["problem"].tolist() == ["p", "q"]
    everybody = units.pool()
    assert np.isnan(everybody.medians).all(), "no unit that all three have"
    assert (everybody.has_all.tolist(), everybody.degrees_of_freedom) == ([False, False], 0)
    pool = units.pool(["adam", "sgd"])
    np.testing.assert_array_equal(pool.medians, [[30.0, math.nan], [7.0, math.nan]])
    assert (pool.has_all.tolist(), pool.degrees_of_freedom) == ([True, False], 2)
    other = units.pool(["adam", "nadam"])
    np.testing.assert_array_equal(other.medians, [[math.nan, math.inf], [math.nan, 3.0]])
    assert other.degrees_of_freedom == 1
    none = profile_units(times.iloc[:0])
    assert (none.optimizers, none.pool().medians.shape, none.pool().has_all.tolist()) == ([], (0, 0), [])


def test_resamples_draw_the_same_seeds_for_all() -> None:
    """Two optimizers of which one always takes twice as long have that ratio in every resample."""
    rng = np.random.default_rng(0)
    costs = rng.lognormal(2, 1, (3, 5))
    times = times_of({(name, problem, "easy"): [*(costs[row] * factor)]
                      for name, factor in (("adam", 1.0), ("sgd", 2.0)) for row, problem in enumerate("pqr")},
                     1e9)  # fmt: skip
    seen = np.concatenate(list(profile_units(times).pool().resample(1, 250)))
    assert seen.shape == (250, 2, 3)
    np.testing.assert_allclose(seen[:, 1], 2 * seen[:, 0])
    assert len(np.unique(seen[:, 0, 0])) > 3


def test_seconds_have_the_error_of_the_timing_pass_in_every_resample() -> None:
    """Four optimizers in two groups: the factor is a cell's own, the same for its targets, and no seed's."""
    names = {"adam": (-0.1, 0.3), "sgd": (0.0, 0.0), "nadam": (-0.7, 0.0)}
    times = times_of({(name, problem, target): [10.0 * scale] * 3 for name in names for problem in "pq"
                      for target, scale in (("easy", 1.0), ("hard", 2.0))}, 1e9, 1.0)  # fmt: skip
    bounds = times["optimizer"].map(names)
    times = times.assign(timing_low=bounds.str[0], timing_high=bounds.str[1])
    seen = np.concatenate(list(profile_units(times, "seconds").pool().resample(3, 4000)))  # adam, nadam, sgd
    np.testing.assert_allclose(seen[..., 1] / seen[..., 0], 2.0)
    np.testing.assert_allclose(seen[..., 3] / seen[..., 2], 2.0)
    factor = np.log(seen[..., [0, 2]] / 10.0)
    for place, name in enumerate(("adam", "nadam", "sgd")):
        low, high = names[name]
        assert factor[:, place].min() == pytest.approx(low, abs=0.002)
        assert factor[:, place].max() == pytest.approx(high, abs=0.002)
        assert factor[:, place].std() == pytest.approx((high - low) / math.sqrt(12), rel=0.05)
    assert abs(np.corrcoef(factor[:, 0].T)[0, 1]) < 0.06, "the groups were timed by themselves"
    assert abs(np.corrcoef(factor[:, 0, 0], factor[:, 1, 0])[0, 1]) < 0.06
    by_cost = np.concatenate(list(profile_units(times, "cost").pool().resample(3, 100)))
    assert (by_cost == by_cost[0]).all()
    assert profile_units(times, "seconds").pool().degrees_of_freedom == 4
    unknown = times.assign(timing_low=times["timing_low"].where(times["optimizer"] != "sgd"))
    assert profile_units(unknown, "seconds").pool().degrees_of_freedom == 0
    assert profile_units(unknown, "seconds").pool(["adam", "nadam"]).degrees_of_freedom == 4


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_of_the_area_covers_what_is_estimated(seeds: int) -> None:
    """Three optimizers, six groups of three targets, times lognormal with half of the variance common to a
    group's targets, a budget that some miss: the interval holds the expectation of the estimate.
    """
    rng = np.random.default_rng(seeds)
    speed = np.array([1.0, 1.3, 1.7])[:, None, None]
    hardness = np.exp(rng.normal(0, 0.5, (1, 6, 1)) + rng.normal(0, 0.4, (3, 6, 1))) * np.array([1, 1.8, 3.0])
    middle = np.log(20 * speed * hardness)

    def draw(*shape: int) -> np.ndarray:
        common, own = rng.normal(0, 0.2, (*shape, 3, 6, 1, seeds)), rng.normal(0, 0.2, (*shape, 3, 6, 3, seeds))
        times = np.exp(middle[..., None] + common + own)
        return np.where(times > 150, np.inf, times)

    def areas(times: np.ndarray) -> np.ndarray:
        return area(np.median(times, axis=-1).reshape(*times.shape[:-4], 3, 18))

    expected = np.mean([areas(draw(500)).mean(axis=0) for _ in range(20)], axis=0)
    covered, studies = np.zeros(3), 1000
    for _ in range(studies):
        times = draw()
        strata = [(group * 3 + np.arange(3), times[:, group], np.zeros((3, 2))) for group in range(6)]
        pool = Pool(["a", "b", "c"], np.median(times, axis=3).reshape(3, 18), strata)
        samples = np.concatenate([area(chunk) for chunk in pool.resample(0, 200)])
        low, high = bootstrap_interval(samples, area(pool.medians), pool.degrees_of_freedom)
        covered += (low <= expected) & (expected <= high)
    print(covered / studies)
    assert np.all(np.abs(covered / studies - 0.95) <= 0.03)
