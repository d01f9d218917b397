"""Bootstrap over seeds: stratified by problem, paired across optimizers, deterministic given its seed.

A stratum holds the scores of one problem, with the seeds along its last axis. All other axes (optimizers, batch
sizes) share the seeds and are resampled together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special, stats

#: With fewer degrees of freedom the spread of the resamples is too uncertain, and intervals are missing.
MIN_DEGREES_OF_FREEDOM = 5
#: Scores per chunk of resamples, so that memory does not grow with the number of resamples.
_CHUNK = 4_000_000


def draw_indices(rng: np.random.Generator, n: int, resamples: int, draws: int | None = None) -> np.ndarray:
    """Draws the seeds of each resample, with replacement.

    Indexing the scores of all optimizers with the same indices keeps their differences paired.

    Args:
        rng: The generator of random numbers.
        n: Number of seeds.
        resamples: Number of resamples.
        draws: Seeds per resample; `n` by default.

    Returns:
        Integers in [0, n) of shape (resamples, draws).
    """
    return rng.integers(0, n, size=(resamples, n if draws is None else draws))


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Returns the interquartile mean along the last axis (Agarwal et al. 2021).

    ⌊n/4⌋ values are dropped at each end.
    """
    return np.asarray(stats.trim_mean(scores, 0.25, axis=-1))


def degrees_of_freedom(strata: Sequence[np.ndarray], kept: float = 1.0) -> float:
    """Returns the degrees of freedom of a stratified resampling: kept · Σ (seeds − 1) over the strata.

    The result is 0 if a stratum has a single seed: its variance is unknown, not zero.

    Args:
        strata: Arrays with the seeds along the last axis.
        kept: Share of the scores that the statistic uses: ½ for an interquartile mean, which may rest on half of the
            problems.
    """
    if any(stratum.shape[-1] < 2 for stratum in strata):
        return 0.0
    return kept * sum(stratum.shape[-1] - 1 for stratum in strata)


def resample(
    strata: Sequence[np.ndarray],
    statistic: Callable[[list[np.ndarray]], np.ndarray],
    seed: int,
    resamples: int = 2000,
) -> np.ndarray:
    """Returns `statistic` of stratified, paired resamples.

    Of n seeds, n − 1 are drawn with replacement, so that the variance of a mean is s²/n instead of (n − 1)/n · s²/n
    (Rao and Wu 1988). A stratum with a single seed stays as it is; then there is no interval (see
    `degrees_of_freedom`).

    Args:
        strata: Arrays of shape (optimizers, …, seeds).
        statistic: Maps resamples of the strata, of shape (r, optimizers, …, draws) each, to an array of shape (r, …).
        seed: Seed of the random draws.
        resamples: Number of resamples.

    Returns:
        An array of shape (resamples, …).
    """
    rng = np.random.default_rng(seed)
    size = sum(stratum.size for stratum in strata)
    chunk = max(1, min(resamples, _CHUNK // max(size, 1)))
    parts = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        samples = []
        for stratum in strata:
            n = stratum.shape[-1]
            chosen = draw_indices(rng, n, rows, max(n - 1, 1))
            samples.append(np.moveaxis(stratum[..., chosen], -2, 0))
        parts.append(statistic(samples))
    return np.concatenate(parts)


def bootstrap_interval(
    samples: np.ndarray, estimate: np.ndarray, degrees: float, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a confidence interval of an estimate: estimate ± t · (standard deviation of the resamples).

    t is Student's quantile for `degrees`. Percentiles of the resamples cover too rarely: they ignore the degrees of
    freedom and the tails, which few values cannot reach (Hesterberg 2015, sections 3.2 and 4.5).

    Args:
        samples: Resampled statistics, of shape (resamples, …).
        estimate: The statistic of the original values, of shape (…).
        degrees: Degrees of freedom (see `degrees_of_freedom`).
        confidence: Coverage of the interval.

    Returns:
        Lower and upper bound, each of shape (…). NaN below `MIN_DEGREES_OF_FREEDOM`, and where all resamples are equal:
        a few seeds that agree do not show that others would.
    """
    if degrees < MIN_DEGREES_OF_FREEDOM or len(samples) < 2:
        return np.full(np.shape(estimate), np.nan), np.full(np.shape(estimate), np.nan)
    differ = np.ptp(samples, axis=0) > 1e-12 * np.abs(samples).max(axis=0)
    deviation = np.where(differ, samples.std(axis=0, ddof=1), np.nan)
    reach = special.stdtrit(degrees, 0.5 + confidence / 2) * deviation
    return estimate - reach, estimate + reach
