"""Resampling: seeded, paired, with the variance and the coverage that it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from optbench.statistics import bootstrap


def means(samples: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(samples, axis=-1).mean(axis=-1)


def test_the_seed_decides_the_resamples() -> None:
    """In rliable 1.2 `random_state` has no effect on what is drawn."""
    strata = [np.random.default_rng(1).normal(size=(3, 5)) for _ in range(4)]
    first, again, other = (bootstrap.resample(strata, means, seed, 50) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).mean() > 0.95
    np.random.seed(0)  # noqa: NPY002
    np.testing.assert_array_equal(bootstrap.resample(strata, means, 7, 50), first)


def test_indices() -> None:
    drawn = bootstrap.draw_indices(np.random.default_rng(0), 4, 20_000)
    assert drawn.shape == (20_000, 4)
    np.testing.assert_allclose(np.bincount(drawn.ravel()) / drawn.size, 0.25, atol=0.01)
    assert bootstrap.draw_indices(np.random.default_rng(0), 4, 10, 3).shape == (10, 3)


def test_optimizers_are_resampled_together() -> None:
    """The second optimizer is the first plus 1 on every seed: so it is in every resample."""
    rng = np.random.default_rng(2)
    strata = [np.stack([row, row + 1]) for row in rng.normal(size=(6, 4))]
    drawn = bootstrap.resample(strata, means, 0, 200)
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 1)
    assert drawn[:, 0].std() > 0.1


def test_seeds_stay_within_their_problem() -> None:
    strata = [np.full((1, 3), value) for value in (1.0, 10.0, 100.0)]
    np.testing.assert_array_equal(bootstrap.resample(strata, means, 0, 20), np.full((20, 1), 37.0))


def test_the_variance_of_a_mean_is_that_of_its_seeds() -> None:
    rng = np.random.default_rng(3)
    strata = [rng.normal(size=(1, 3)) for _ in range(5)]
    drawn = bootstrap.resample(strata, means, 0, 40_000)[:, 0]
    expected = sum(stratum.var(ddof=1) / 3 for stratum in strata) / 25
    assert drawn.var() == pytest.approx(expected, rel=0.03)


def test_chunks_change_nothing_but_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    strata = [np.random.default_rng(4).normal(size=(2, 5))]
    whole = bootstrap.resample(strata, means, 5, 1000)
    monkeypatch.setattr(bootstrap, "_CHUNK", 300)
    parts = bootstrap.resample(strata, means, 5, 1000)
    assert parts.shape == whole.shape
    np.testing.assert_allclose(np.quantile(parts, [0.1, 0.9]), np.quantile(whole, [0.1, 0.9]), atol=0.05)


def test_one_seed_has_no_spread_and_no_interval() -> None:
    strata = [np.array([[3.0]]), np.array([[5.0]])]
    drawn = bootstrap.resample(strata, means, 0, 10)
    assert (drawn == 4).all()
    assert np.isnan(bootstrap.bootstrap_interval(drawn, np.array([4.0]), bootstrap.degrees_of_freedom(strata))).all()


def test_one_seed_of_one_problem_is_not_taken_for_no_spread() -> None:
    """The variance of a problem with a single seed isn't known; as zero it would make the interval too narrow."""
    rng = np.random.default_rng(7)
    strata = [rng.normal(size=(1, 8)), rng.normal(size=(1, 1))]
    drawn = bootstrap.resample(strata, means, 0, 100)
    assert drawn.std() > 0
    assert bootstrap.degrees_of_freedom(strata) == 0
    assert np.isnan(
        bootstrap.bootstrap_interval(drawn, means([s[None] for s in strata])[0], bootstrap.degrees_of_freedom(strata))
    ).all()
    assert bootstrap.degrees_of_freedom([strata[0], rng.normal(size=(1, 4))]) == 7 + 3
    assert bootstrap.degrees_of_freedom([strata[0], rng.normal(size=(1, 4))], kept=0.5) == (7 + 3) / 2


def test_resamples_that_agree_are_no_certainty() -> None:
    samples = np.column_stack([np.full(50, 0.1 + 0.2), np.random.default_rng(8).normal(size=50)])
    low, high = bootstrap.bootstrap_interval(samples, samples.mean(axis=0), 20)
    assert np.isnan([low[0], high[0]]).all()
    assert low[1] < samples[:, 1].mean() < high[1]


def test_interquartile_mean() -> None:
    values = np.random.default_rng(5).permutation(np.array([1.0, 2, 3, 4, 5, 6, 7, 1000]))
    assert bootstrap.interquartile_mean(values) == (3 + 4 + 5 + 6) / 4
    assert bootstrap.interquartile_mean(values[:3]) == pytest.approx(values[:3].mean())


def coverage(problems: int, seeds: int, spread: float, studies: int) -> np.ndarray:
    """How often nominal 95 % intervals of mean and interquartile mean hold the truth, over studies of known truth."""
    rng = np.random.default_rng(problems * 100 + seeds)
    centres = np.linspace(-1, 1, problems)
    # The truth of an interquartile mean of finitely many runs is its expectation, found by simulation.
    many = rng.normal(centres, spread, (30_000, seeds, problems)).reshape(30_000, -1)
    truth = np.array([centres.mean(), bootstrap.interquartile_mean(many).mean()])

    def statistic(samples: list[np.ndarray]) -> np.ndarray:
        joined = np.concatenate(samples, axis=-1)[:, 0]
        return np.stack([joined.mean(axis=-1), bootstrap.interquartile_mean(joined)], axis=-1)

    covered = np.zeros(2)
    for study in range(studies):
        strata = [row[None] for row in rng.normal(centres[:, None], spread, (problems, seeds))]
        estimate = statistic([stratum[None] for stratum in strata])[0]
        drawn = bootstrap.resample(strata, statistic, study, 400)
        for index, kept in enumerate((1.0, 0.5)):
            low, high = bootstrap.bootstrap_interval(
                drawn[:, index], estimate[index], bootstrap.degrees_of_freedom(strata, kept)
            )
            covered[index] += low <= truth[index] <= high
    return covered / studies


@pytest.mark.parametrize(("problems", "seeds", "spread"), [(10, 3, 0.05), (4, 5, 1.0), (3, 10, 0.05), (1, 12, 1.0)])
def test_intervals_cover(problems: int, seeds: int, spread: float) -> None:
    """Where problems lie far apart (little spread), an interquartile mean rests on the middle ones alone."""
    np.testing.assert_allclose(coverage(problems, seeds, spread, 500), 0.95, atol=0.03)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("problems", "seeds"), [(6, 3), (10, 3), (4, 5), (10, 5), (3, 10), (10, 10)])
@pytest.mark.parametrize("spread", [0.05, 0.3, 1.0])
def test_intervals_cover_in_ten_thousand_studies(problems: int, seeds: int, spread: float) -> None:
    found = coverage(problems, seeds, spread, 10_000)
    print(
        f"{problems} problems, {seeds} seeds, spread {spread}: mean {found[0]:.3f}, interquartile mean {found[1]:.3f}"
    )
    np.testing.assert_allclose(found, 0.95, atol=0.02)


def test_interval_is_students() -> None:
    samples = np.random.default_rng(6).normal(size=(200_000, 1))
    low, high = bootstrap.bootstrap_interval(samples, np.array([0.5]), 10, 0.9)
    assert (low[0] - 0.5, high[0] - 0.5) == pytest.approx(stats.t.interval(0.9, 10), abs=0.01)
