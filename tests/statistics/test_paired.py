"""The sign-flip test against enumeration and scipy, Holm by hand, and errors of verdicts by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from optbench.statistics import paired


def by_enumeration(row: np.ndarray, two_sided: bool = True) -> float:
    patterns = np.array(list(itertools.product((-1, 1), repeat=len(row))))
    sums, observed = patterns @ np.abs(row), row.sum()
    if two_sided:
        return float(np.mean(np.abs(sums) >= abs(observed) - 1e-9))
    return float(np.mean(sums >= observed - 1e-9))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9, 12])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_sign_flip_equals_enumeration(n: int, alternative: str) -> None:
    rng = np.random.default_rng(n)
    rows = np.concatenate([rng.normal(0.3, 1, (20, n)), rng.integers(-2, 3, (20, n))])
    expected = [by_enumeration(row, alternative == "two-sided") for row in rows]
    np.testing.assert_allclose(paired.sign_flip(rows, alternative), expected, rtol=1e-12)


def test_sign_flip_equals_scipys_permutation_test() -> None:
    row = np.random.default_rng(3).normal(0.5, 1, 11)
    found = stats.permutation_test((row,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert paired.sign_flip(row) == pytest.approx(found.pvalue, rel=1e-12)


def test_the_least_p_value_is_two_in_two_to_the_n() -> None:
    for n in range(1, 12):
        assert paired.sign_flip(np.linspace(1, 2, n)) == pytest.approx(2 / 2**n)
    assert paired.sign_flip(np.linspace(1, 2, 5)) > 0.05, "five pairs can't be significant"


def test_many_pairs_are_counted_exactly_and_more_are_drawn() -> None:
    rng = np.random.default_rng(4)
    row = rng.normal(0.35, 1, 24)
    signs = rng.integers(0, 2, (200_000, 24)) * 2 - 1
    drawn = np.mean(np.abs(signs @ row) >= abs(row.sum()))
    assert paired.sign_flip(row) == pytest.approx(drawn, abs=0.003)
    longer = rng.normal(0.3, 1, 60)
    first, again, other = (paired.sign_flip(longer, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first == pytest.approx(stats.ttest_1samp(longer, 0).pvalue, rel=0.2)


def test_a_failed_run_outweighs_every_number() -> None:
    """Seven seeds better by a little, one seed lost: not the better optimizer, whatever the unit."""
    little = np.append(np.linspace(0.1, 0.2, 7), -np.inf)
    limit = [by_enumeration(np.append(little[:-1], -size)) for size in (1e3, 1e6)]
    assert paired.sign_flip(little) == limit[0] == limit[1]
    assert paired.sign_flip(1e-30 * np.append(little[:-1], -np.inf)) == limit[0]
    assert paired.sign_flip(np.full(6, np.inf)) == 2 / 64
    assert np.isnan(paired.sign_flip(np.array([1.0, np.nan])))
    assert np.isnan(paired.sign_flip(np.array([])))
    assert paired.sign_flip(np.zeros(4)) == 1


def test_rounding_makes_no_tie_significant() -> None:
    """Accuracies on 297 examples in single precision: their differences tie, but for the last digits."""
    rng = np.random.default_rng(9)
    for _ in range(50):
        right = rng.integers(270, 290, (2, 9))
        exact = paired.sign_flip((right[0] - right[1]).astype(float))
        rounded = (right / 297).astype(np.float32).astype(float) * (1 + 1e-7 * rng.uniform(-1, 1, right.shape))
        assert paired.sign_flip(rounded[0] - rounded[1], resolution=1e-6) == exact
    lost = np.array([3.0, 3.0 + 1e-9, -np.inf, 1.0, 2.0, -3.0])
    clean = np.array([3.0, 3.0, -np.inf, 1.0, 2.0, -3.0])
    assert paired.sign_flip(lost, resolution=1e-6) == paired.sign_flip(clean)


def test_p_values_hold_their_level_when_there_is_no_difference() -> None:
    rng = np.random.default_rng(5)
    for n in (5, 6, 8):
        for name, draw in (("normal", rng.normal), ("heavy tails", lambda size: rng.standard_t(2, size))):
            p = paired.sign_flip(draw(size=(10_000, n)))
            assert np.mean(p <= 0.05) <= 0.05 + 0.004, (n, name)


def test_holm_by_hand() -> None:
    """0.01·4, 0.02·3, 0.03·2 (raised to the one before), 0.2·1; then with a missing one and ties."""
    np.testing.assert_allclose(paired.holm(np.array([0.03, 0.2, 0.01, 0.02])), [0.06, 0.2, 0.04, 0.06])
    np.testing.assert_allclose(paired.holm(np.array([0.5, np.nan, 0.04])), [0.5, np.nan, 0.08])
    np.testing.assert_allclose(paired.holm(np.array([0.4, 0.4, 0.4])), 1.0)
    assert len(paired.holm(np.array([]))) == 0


def test_holm_keeps_the_error_of_a_family() -> None:
    rng = np.random.default_rng(6)
    reference = rng.normal(size=(1000, 1, 9))
    p = paired.sign_flip(rng.normal(size=(1000, 9, 9)) - reference)
    wrong = np.mean([(paired.holm(family) <= 0.05).any() for family in p])
    assert wrong <= 0.05 + 0.015
    assert np.mean((p <= 0.05).any(axis=1)) > 0.15, "without Holm it would not"


def test_equivalence_by_enumeration_and_its_errors() -> None:
    rng = np.random.default_rng(7)
    rows = rng.normal(0, 1, (20, 8))
    for row, p in zip(rows, paired.equivalence(rows, 0.7), strict=True):
        assert p == max(by_enumeration(row + 0.7, False), by_enumeration(0.7 - row, False))
    at_the_margin = rng.normal(0.7, 0.3, (5000, 8))
    assert np.mean(paired.equivalence(at_the_margin, 0.7) <= 0.05) <= 0.05 + 0.006
    alike = rng.normal(0, 0.3, (500, 8))
    assert np.mean(paired.equivalence(alike, 0.7) <= 0.05) > 0.95


def test_effect_size() -> None:
    row = np.random.default_rng(8).normal(1, 2, 9)
    assert paired.effect_size(row) == pytest.approx(stats.ttest_1samp(row, 0).statistic / 3)
    assert paired.effect_size(np.array([2.0, 2.0])) == np.inf
    assert paired.effect_size(np.zeros(3)) == 0
    assert np.isnan(paired.effect_size(np.array([1.0])))
    assert np.isnan(paired.effect_size(np.array([1.0, np.inf])))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_probability_of_improvement_is_clopper_and_pearsons(n: int) -> None:
    for better in range(n + 1):
        differences = np.random.default_rng(better).permutation(np.repeat([1.0, -1.0], [better, n - better]))
        expected = stats.binomtest(better, n).proportion_ci(method="exact")
        assert paired.probability_of_improvement(differences) == pytest.approx(
            (better / n, expected.low, expected.high)
        )
    half, low, high = paired.probability_of_improvement(np.zeros(n))
    assert half == 0.5
    assert low < 0.5 < high
    assert np.isnan(paired.probability_of_improvement(np.array([]))).all()


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("tied", [0.0, 0.3])
def test_bounds_of_the_probability_of_improvement_cover(n: int, tied: float) -> None:
    """The exact coverage: over all numbers of pairs that are better, tied and worse, by their probability."""
    counts = [(better, ties, n - better - ties) for better in range(n + 1) for ties in range(n + 1 - better)]
    bounds = np.array([paired.probability_of_improvement(np.repeat([1.0, 0.0, -1.0], row))[1:] for row in counts])
    for truth in np.linspace(tied / 2, 1 - tied / 2, 41):
        better = truth - tied / 2
        probability = stats.multinomial.pmf(counts, n, [better, tied, max(1 - better - tied, 0.0)])
        covered = (bounds[:, 0] <= truth + 1e-12) & (bounds[:, 1] >= truth - 1e-12)
        assert probability.sum() == pytest.approx(1)
        assert probability @ covered >= (0.945 if tied else 0.95 - 1e-12), truth
