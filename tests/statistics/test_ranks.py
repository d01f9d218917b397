"""Ranks over problems: the worked example of Demšar (2006), and scipy where it has the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from optbench.statistics import ranks

#: Demšar (2006), table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets. `voting` is
#: ranked 4, 1, 2, 3 there by digits that the table doesn't print.
AUC = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
])  # fmt: skip


def test_the_worked_example_of_demsar() -> None:
    table = ranks.ranks(-AUC)
    np.testing.assert_allclose(table.mean(axis=0), [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    chi2, f, p = ranks.friedman(table, ties=False)
    assert (chi2, f) == (pytest.approx(9.28, abs=0.005), pytest.approx(3.69, abs=0.005))
    assert stats.f.isf(0.05, 3, 39) == pytest.approx(2.85, abs=0.005)
    assert p < 0.05
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert ranks.critical_difference(4, 14, alpha=0.1) == pytest.approx(1.12, abs=0.005)
    assert ranks.critical_difference(4, 14, control=True) == pytest.approx(1.16, abs=0.01)


def test_the_wilcoxon_example_of_demsar() -> None:
    """Table 2: C4.5+m against C4.5, R+ = 93, R− = 12 with the two zeros split; significant at 5 %."""
    differences = AUC[:, 1] - AUC[:, 0]
    ranked = stats.rankdata(np.abs(differences).round(9))
    zeros = ranked[differences == 0].sum() / 2
    assert ranked[differences > 1e-9].sum() + zeros == 93
    assert ranked[differences < -1e-9].sum() + zeros == 12
    assert ranks.wilcoxon_signed_rank(differences.round(9)) < 0.05


def test_signed_rank_equals_scipy_without_ties() -> None:
    rng = np.random.default_rng(1)
    for n in (5, 10, 14):
        rows = rng.normal(0.4, 1, (10, n))
        expected = [stats.wilcoxon(row, method="exact").pvalue for row in rows]
        np.testing.assert_allclose(ranks.wilcoxon_signed_rank(rows), expected, rtol=1e-12)


def test_friedman_equals_scipy() -> None:
    values = np.random.default_rng(2).normal(size=(12, 5))
    found = stats.friedmanchisquare(*values.T)
    assert ranks.friedman(ranks.ranks(values))[0] == pytest.approx(found.statistic)
    tied = np.random.default_rng(3).integers(0, 3, size=(12, 5))
    assert ranks.friedman(ranks.ranks(tied))[0] == pytest.approx(stats.friedmanchisquare(*tied.T).statistic)
    assert ranks.friedman(ranks.ranks(tied))[2] < ranks.friedman(ranks.ranks(tied), ties=False)[2]
    assert np.isnan(ranks.friedman(np.full((5, 3), 2.0))).all(), "all tied"
    assert np.isnan(ranks.friedman(np.ones((1, 3)))).all()
    same = ranks.friedman(np.tile([1.0, 2.0, 3.0], (10, 1)))
    assert same[1:] == (math.inf, 0.0)


def test_wilcoxon_holm_is_holm_over_the_pairs() -> None:
    losses = np.random.default_rng(3).normal([0, 0.2, 1.5], size=(12, 3))
    raw = {pair: stats.wilcoxon(losses[:, pair[0]] - losses[:, pair[1]]).pvalue for pair in ((0, 1), (0, 2), (1, 2))}
    low, middle, high = sorted(raw.values())
    adjusted = {low: 3 * low, middle: max(3 * low, 2 * middle), high: max(3 * low, 2 * middle, high)}
    p = ranks.wilcoxon_holm(losses)
    for (first, second), value in raw.items():
        assert p[first, second] == p[second, first] == pytest.approx(min(adjusted[value], 1))


def test_failures_on_both_sides_are_ties() -> None:
    losses = np.column_stack([np.full(10, np.inf), np.full(10, np.inf), np.arange(10.0)])
    p = ranks.wilcoxon_holm(losses)
    assert p[0, 1] == 1
    assert p[0, 2] == pytest.approx(3 * 2 / 2**10)


def test_cliques_are_the_longest_runs() -> None:
    p = np.ones((4, 4))
    p[0, 2] = p[2, 0] = p[0, 3] = p[3, 0] = 0.01
    mean = np.array([1.0, 2.0, 2.5, 3.0])
    assert ranks.cliques(mean, p) == [[0, 1], [1, 2, 3]]
    assert ranks.cliques(mean[::-1].copy(), p[::-1, ::-1]) == [[3, 2], [2, 1, 0]]
    assert ranks.cliques(mean, np.full((4, 4), 0.01)) == []
    assert ranks.cliques(mean, np.ones((4, 4))) == [[0, 1, 2, 3]]


def test_kendalls_tau_is_scipys() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (2, 200, 6)).astype(float)
    expected = [stats.kendalltau(one, other).statistic for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(ranks.kendall_tau(first, second), expected, rtol=1e-12, equal_nan=True)


def test_kendalls_tau_of_ties_rounding_and_missing_values() -> None:
    order = np.array([1.0, 2.0, 3.0])
    assert math.isnan(ranks.kendall_tau(order, np.ones(3)))
    close = np.array([1.0, 1.0 + 1e-9, 3.0])
    assert ranks.kendall_tau(order, close) == pytest.approx(stats.kendalltau(order, [1, 1, 3]).statistic)
    assert ranks.kendall_tau(np.array([1.0, 2.0, 3.0, np.nan]), np.array([3.0, 2.0, 1.0, 0.0])) == -1
    assert ranks.kendall_tau(np.array([1.0, np.inf, np.inf]), order) == pytest.approx(2 / math.sqrt(6))
