"""Mean ranks over problems, tests of whether they differ, and groups that do not differ significantly.

The unit is a problem, not a run: seeds of one problem say nothing about other problems.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from optbench.statistics.equality import are_equal, merge_equal
from optbench.statistics.paired import holm, sign_flip


def ranks(losses: np.ndarray) -> np.ndarray:
    """Returns the ranks of k optimizers on N problems: 1 for the lowest loss, mean ranks for ties.

    Args:
        losses: Losses of shape (N, k).

    Returns:
        Ranks of shape (N, k).
    """
    return np.asarray(stats.rankdata(np.apply_along_axis(merge_equal, -1, losses), axis=-1))


def friedman(ranks: np.ndarray, ties: bool = True) -> tuple[float, float, float]:
    """Tests whether k optimizers differ over N problems.

    χ²_F = 12N/(k(k+1)) (Σ R_j² − k(k+1)²/4), divided by 1 − Σ(t³ − t)/(N k(k²−1)) for t ranks tied on a problem
    (Conover 1999, section 5.8). F_F = (N−1)χ²_F/(N(k−1) − χ²_F) has (k−1) and (k−1)(N−1) degrees of freedom (Iman and
    Davenport 1980; Demšar 2006, section 3.2.2).

    Args:
        ranks: Ranks of shape (N, k).
        ties: Whether to correct for ties. Demšar's example does not; without the correction, ties make differences look
            smaller than they are.

    Returns:
        χ²_F, F_F and the p-value of F_F; NaN with fewer than two problems or optimizers, or if all ranks are tied.
    """
    n, k = ranks.shape
    if n < 2 or k < 2:
        return math.nan, math.nan, math.nan
    chi2 = 12 * n / (k * (k + 1)) * (float((ranks.mean(axis=0) ** 2).sum()) - k * (k + 1) ** 2 / 4)
    if ties:
        varying = float(((ranks - (k + 1) / 2) ** 2).sum()) / (n * k * (k**2 - 1) / 12)  # 1 without ties
        if varying < 1e-12:
            return math.nan, math.nan, math.nan
        chi2 /= varying
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else math.inf
    return chi2, f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))


def critical_difference(optimizers: int, problems: int, alpha: float = 0.05, control: bool = False) -> float:
    """Returns the smallest significant difference of mean ranks: q·√(k(k+1)/(6N)) (Demšar 2006, section 3.2.2).

    Args:
        optimizers: Number k of optimizers.
        problems: Number N of problems.
        alpha: Significance level.
        control: False for Nemenyi's test of all pairs (q is the studentised range over √2), True for Bonferroni and
            Dunn's comparisons of k − 1 optimizers with one.
    """
    if control:
        q = float(stats.norm.isf(alpha / (2 * (optimizers - 1))))
    else:
        q = float(stats.studentized_range.ppf(1 - alpha, optimizers, math.inf)) / math.sqrt(2)
    return q * math.sqrt(optimizers * (optimizers + 1) / (6 * problems))


def kendall_tau(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns Kendall's τ_b of two rankings (Kendall 1945), (C − D)/√((C + D + T₁)(C + D + T₂)).

    C pairs have the same order in both, D the opposite one; T₁ are tied in the second ranking alone, T₂ in the first.

    Args:
        first: Values by which k optimizers are ranked, of shape (…, k); a missing one (NaN) is in no pair.
        second: Values of the other ranking, of the same shape.

    Returns:
        Coefficients of shape (…); NaN where one of the two rankings has ties only.

    >>> float(kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])))  # two of three pairs keep their order
    0.3333333333333333
    """
    one, other = pair_orders(first), pair_orders(second)
    known = ~np.isnan(one) & ~np.isnan(other)
    one, other = np.where(known, one, 0.0), np.where(known, other, 0.0)
    pairs = np.sqrt((one**2).sum(axis=-1) * (other**2).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(pairs > 0, (one * other).sum(axis=-1) / pairs, np.nan))


def pair_orders(values: np.ndarray) -> np.ndarray:
    """Returns for each pair of k values −1, 0 or 1: the first is lower, both are equal, the second is lower.

    Args:
        values: Values of shape (…, k).

    Returns:
        An array of shape (…, k(k − 1)/2); NaN for pairs with a missing value.
    """
    first, second = np.triu_indices(values.shape[-1], 1)
    return compare(values[..., first], values[..., second])


def compare(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns −1, 0 or 1 where values are lower than, equal to (see `equality`) or higher than others; NaN stays."""
    with np.errstate(invalid="ignore"):
        return np.where(are_equal(values, others), 0.0, np.sign(values - others))


def wilcoxon_signed_rank(differences: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns exact two-sided p-values of Wilcoxon's signed-rank test.

    It is computed as the sign-flip test of the signed ranks, so it is exact with ties as well. Zeros take part in the
    ranking and are then dropped (Pratt 1959). Infinite differences have the largest ranks.

    Args:
        differences: Paired differences, of shape (…, n).
        seed: Seed of the random patterns for many pairs (see `paired.sign_flip`).

    Returns:
        p-values of shape (…).
    """
    values = np.asarray(differences, dtype=float)
    return sign_flip(np.sign(values) * stats.rankdata(np.abs(values), axis=-1), seed=seed)


def wilcoxon_holm(losses: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns adjusted p-values of all pairs of k optimizers over N problems.

    Wilcoxon's signed-rank test with Holm's adjustment, rather than Nemenyi's test, whose decision on a pair depends on
    the other optimizers (Benavoli, Corani, Mangili 2016).

    Args:
        losses: Losses of shape (N, k).
        seed: As for `wilcoxon_signed_rank`.

    Returns:
        A symmetric array of shape (k, k) with ones on the diagonal.
    """
    k = losses.shape[1]
    first, second = np.triu_indices(k, 1)
    with np.errstate(invalid="ignore"):
        differences = losses[:, first] - losses[:, second]
    differences[are_equal(losses[:, first], losses[:, second])] = 0.0
    adjusted = np.ones((k, k))
    adjusted[first, second] = adjusted[second, first] = holm(wilcoxon_signed_rank(differences.T, seed))
    return adjusted


def cliques(mean_ranks: np.ndarray, p: np.ndarray, alpha: float = 0.05) -> list[list[int]]:
    """Returns the groups that a critical-difference diagram joins by bars.

    They are the longest sequences of optimizers, in order of mean rank, in which no two differ significantly.

    Args:
        mean_ranks: Mean ranks of shape (k,).
        p: Adjusted p-values of shape (k, k).
        alpha: Significance level.

    Returns:
        Lists of indices into `mean_ranks`, each of at least two optimizers.
    """
    order = [int(index) for index in np.argsort(mean_ranks, kind="stable")]
    groups: list[list[int]] = []
    reach = -1
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and all(p[order[end + 1], other] > alpha for other in order[start : end + 1]):
            end += 1
        if end > start and end > reach:
            groups.append(order[start : end + 1])
        reach = max(reach, end)
    return groups
