"""The bootstrap over seeds: stratified by problem, paired across optimizers, a function of its seed alone.

A stratum holds the scores of one problem, the seeds along its last axis. Whatever else it has axes for
(optimizers, batch sizes) shares its seeds, and is resampled together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special, stats

#: Below so many degrees of freedom the spread of the resamples is too rough, and the interval is missing.
FEWEST_FREEDOM = 5
#: Resamples are made in chunks of about this many scores, so that memory doesn't grow with their number.
_CHUNK = 4_000_000


def indices(rng: np.random.Generator, n: int, resamples: int, draws: int | None = None) -> np.ndarray:
    """Which of `n` seeds each resample holds: integers of shape (resamples, draws), `draws` = n by default.

    Indexing the scores of all optimizers by the same indices keeps their differences paired.
    """
    return rng.integers(0, n, size=(resamples, n if draws is None else draws))


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half along the last axis, ⌊n/4⌋ values dropped at each end (Agarwal et al. 2021)."""
    return np.asarray(stats.trim_mean(scores, 0.25, axis=-1))


def freedom(strata: Sequence[np.ndarray], kept: float = 1.0) -> float:
    """The degrees of freedom of a stratified resampling: the sum of (seeds − 1), times the share of the
    scores that the statistic keeps (½ for an interquartile mean, which may rest on half of the problems).

    None (0) where a stratum has one seed: how much that one varies isn't known, which isn't that it doesn't vary.
    """
    if any(stratum.shape[-1] < 2 for stratum in strata):
        return 0.0
    return kept * sum(stratum.shape[-1] - 1 for stratum in strata)


def resampled(
    strata: Sequence[np.ndarray],
    statistic: Callable[[list[np.ndarray]], np.ndarray],
    seed: int,
    resamples: int = 2000,
) -> np.ndarray:
    """`statistic` of stratified paired resamples, of shape (resamples, …).

    `strata` holds arrays of shape (optimizers, …, seeds); `statistic` is given their resamples, of shape
    (r, optimizers, …, draws) each, and returns an array of shape (r, …). Of n seeds n − 1 are drawn with
    replacement, which makes the variance of a mean s²/n instead of (n − 1)/n times that (Rao and Wu
    1988). A stratum of one seed can't be resampled and is kept as it is: then there is no interval (see `freedom`).
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
            drawn = indices(rng, n, rows, max(n - 1, 1))
            samples.append(np.moveaxis(stratum[..., drawn], -2, 0))
        parts.append(statistic(samples))
    return np.concatenate(parts)


def interval(
    samples: np.ndarray, estimate: np.ndarray, degrees: float, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of an estimate: ± t times the deviation of the resamples along the first axis, t for `degrees`.

    Percentiles of the resamples cover less: they know neither the degrees of freedom nor the tails
    that a few values can't reach (Hesterberg 2015, sections 3.2 and 4.5). Missing (NaN) below `FEWEST_FREEDOM`, and
    where all resamples are equal: seeds that happen to agree are no proof that others would.
    """
    if degrees < FEWEST_FREEDOM or len(samples) < 2:
        return np.full(np.shape(estimate), np.nan), np.full(np.shape(estimate), np.nan)
    differ = np.ptp(samples, axis=0) > 1e-12 * np.abs(samples).max(axis=0)
    deviation = np.where(differ, samples.std(axis=0, ddof=1), np.nan)
    reach = special.stdtrit(degrees, 0.5 + confidence / 2) * deviation
    return estimate - reach, estimate + reach
