"""Ranks over problems: mean ranks, whether they differ at all, and which of them can't be told apart.

Problems are the unit here, not runs: seeds of one problem say nothing about other problems.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from optbench.statistics.paired import holm, sign_flip


def ranks(losses: np.ndarray) -> np.ndarray:
    """The ranks of k optimizers on N problems, shape (N, k) as `losses`; the lowest is 1, ties share their mean."""
    return np.asarray(stats.rankdata(losses, axis=-1))


def friedman(ranks: np.ndarray, ties: bool = True) -> tuple[float, float, float]:
    """Whether k optimizers differ over N problems: χ²_F, F_F and the p-value of the latter.

    χ²_F = 12N/(k(k+1)) (Σ R_j² − k(k+1)²/4), divided by 1 − Σ(t³ − t)/(N k(k²−1)) for t ranks tied on a problem
    (Conover 1999, section 5.8), which Demšar's example leaves out (`ties` false): without it ties make differences
    look smaller than they are. F_F = (N−1)χ²_F/(N(k−1) − χ²_F) with (k−1) and
    (k−1)(N−1) degrees of freedom (Iman and Davenport 1980; Demšar 2006, section 3.2.2). Missing below
    two problems or optimizers, and where all are tied on every problem.
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
    """How far mean ranks have to be apart: q·√(k(k+1)/(6N)) (Demšar 2006, section 3.2.2).

    q is Nemenyi's, the studentised range over √2, or with a `control` that of Bonferroni and Dunn, for
    comparisons of k − 1 optimizers with one.
    """
    if control:
        q = float(stats.norm.isf(alpha / (2 * (optimizers - 1))))
    else:
        q = float(stats.studentized_range.ppf(1 - alpha, optimizers, math.inf)) / math.sqrt(2)
    return q * math.sqrt(optimizers * (optimizers + 1) / (6 * problems))


def signed_rank(differences: np.ndarray, seed: int = 0) -> np.ndarray:
    """Exact two-sided p-values of Wilcoxon's signed-rank test, shape (…, n) to (…).

    The sign-flip test of signed ranks, hence exact with ties as well. Zeros take part in the ranking and
    then drop out (Pratt 1959). Infinite differences are the largest.
    """
    values = np.asarray(differences, dtype=float)
    return sign_flip(np.sign(values) * stats.rankdata(np.abs(values), axis=-1), seed=seed)


def wilcoxon_holm(losses: np.ndarray, seed: int = 0) -> np.ndarray:
    """Adjusted p-values of all pairs of k optimizers over N problems, symmetric of shape (k, k), ones on the diagonal.

    Wilcoxon's signed-rank test with Holm's adjustment, rather than Nemenyi's test, whose verdict on a
    pair depends on who else takes part (Benavoli, Corani, Mangili 2016). `losses` has the shape (N, k).
    """
    k = losses.shape[1]
    first, second = np.triu_indices(k, 1)
    with np.errstate(invalid="ignore"):
        differences = losses[:, first] - losses[:, second]
    differences[losses[:, first] == losses[:, second]] = 0.0
    adjusted = np.ones((k, k))
    adjusted[first, second] = adjusted[second, first] = holm(signed_rank(differences.T, seed))
    return adjusted


def cliques(mean_ranks: np.ndarray, p: np.ndarray, alpha: float = 0.05) -> list[list[int]]:
    """The groups that a critical-difference diagram joins by bars: longest runs of optimizers, in order
    of mean rank, no two of which differ significantly. Indices into `mean_ranks`.
    """
    order = [int(index) for index in np.argsort(mean_ranks, kind="stable")]
    found: list[list[int]] = []
    reach = -1
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and all(p[order[end + 1], other] > alpha for other in order[start : end + 1]):
            end += 1
        if end > start and end > reach:
            found.append(order[start : end + 1])
        reach = max(reach, end)
    return found
