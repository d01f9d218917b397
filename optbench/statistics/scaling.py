"""How results change along a ladder: effective speed-ups, their slopes, and projections to a rung that was left out.

Losses are compared by their logarithms. The loss of a rung is the geometric mean over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.interpolate import PchipInterpolator

#: Weighted least squares are repeated this often, each time with the weights of the line before.
_ITERATIONS = 4
#: Shares of the lowest loss that are tried as the limit of the losses, from 0 to almost 1.
_LIMITS = np.concatenate([[0.0], 1 - np.geomspace(0.99, 1e-4, 200)])


def reaching_cost(costs: np.ndarray, losses: np.ndarray, level: float, limit: float = 0.0) -> float:
    """Returns the logarithm of the cost at which a curve reaches a loss.

    Between the points, log c is a monotone cubic of log(L − E) (Fritsch and Carlson 1980, as
    `scipy.interpolate.PchipInterpolator` has it), which is a straight line for a saturating power law. Only points that
    are better than all cheaper ones count. Beyond the ends, the curve goes on as a straight line.

    Args:
        costs: Costs of the points, ascending, > 0, (points,).
        losses: Losses of the points, > 0, (points,).
        level: The loss to reach.
        limit: The limit E of the losses, below all of them.

    Returns:
        The logarithm of the cost; NaN with fewer than two points that improve.

    >>> costs = np.array([1.0, 4.0, 16.0])
    >>> float(np.exp(reaching_cost(costs, 0.1 + costs**-0.5, 0.1 + 9**-0.5, 0.1)).round(6))
    9.0
    """
    better = improving(losses)
    own, y = losses[better], np.log(costs[better])
    if len(own) < 2 or not level > 0:
        return float("nan")
    # A loss below the limit is beyond the end, however far.
    x, at = -np.log(own - limit), -np.log(max(level - limit, 1e-3 * (own[-1] - limit)))
    if x[0] <= at <= x[-1]:
        return float(PchipInterpolator(x, y)(at))
    inner, end = (1, 0) if at < x[0] else (-2, -1)
    return float(y[end] + (at - x[end]) * (y[end] - y[inner]) / (x[end] - x[inner]))


def common_limit(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Returns the limit E that curves of one problem have in common.

    It is that of the power laws L = E + A c⁻ᵇ with b ≤ 1 that fit all curves best, by the squares of relative
    deviations.

    Args:
        curves: Costs and losses of each curve, each (points,). Only points that improve count, and only curves with at
            least two of them.
    """
    useful = [
        (np.log(costs[better]), losses[better]) for costs, losses in curves if (better := improving(losses)).sum() > 1
    ]
    if not useful:
        return 0.0

    def excess(limits: np.ndarray) -> np.ndarray:
        fits = [_fit(log_costs, losses, limits, most=1.0) for log_costs, losses in useful]
        total: np.ndarray = np.sum([fit.excess for fit in fits], axis=0)
        return total

    limits = _refine(_LIMITS * min(losses.min() for _, losses in useful), excess)
    return float(limits[excess(limits).argmin()])


def _refine(limits: np.ndarray, excess: Callable[[np.ndarray], np.ndarray], room: float = 0.0) -> np.ndarray:
    """Returns limits that are close to each other where the excess is above the least one by at most `room`."""
    for _ in range(2):
        found = excess(limits)
        inside = np.flatnonzero(found - found.min() <= room)
        low, high = max(inside[0] - 1, 0), min(inside[-1] + 1, len(limits) - 1)
        limits = np.concatenate([limits[:low], np.linspace(limits[low], limits[high], 200), limits[high + 1 :]])
    return limits


def improving(losses: np.ndarray) -> np.ndarray:
    """Returns which points are better than all before them, (points,).

    Args:
        losses: Losses of the points, in the order of their costs, (points,).
    """
    better: np.ndarray = losses < np.concatenate([[np.inf], np.minimum.accumulate(losses)[:-1]])
    return better


def jackknife(value: np.ndarray, without: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns the confidence interval of a statistic, from its values without one seed after another.

    θ ± t √((n − 1)/n Σ (θ₋ᵢ − mean θ₋)²), with t of n − 1 degrees of freedom (Tukey 1958; Efron and Stein 1981)

    Args:
        value: The statistic θ of all n seeds, an array; NaN where it is not known.
        without: The statistics θ₋ᵢ of all seeds but one, (n, *shape of θ); empty for a single seed.
        confidence: Confidence level.

    Returns:
        Both bounds, of the shape of θ. They are NaN with one seed, and where a value is NaN.
    """
    seeds = len(without)
    if seeds < 2:
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    spread = np.sqrt((seeds - 1) / seeds * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    half = stats.t.ppf((1 + confidence) / 2, seeds - 1) * spread
    return value - half, value + half


def log_speedups(
    costs: np.ndarray, losses: np.ndarray, other_costs: np.ndarray, other_losses: np.ndarray
) -> np.ndarray:
    """Returns the logarithm of the effective speed-up of one optimizer over another one at each of its horizons.

    The speed-up is the cost at which the other optimizer reaches the loss, over the cost of the horizon.

    Args:
        costs: Costs of the optimizer at its horizons, (horizons,).
        losses: Its losses there, (horizons,).
        other_costs: Costs of the other optimizer at its horizons, ascending, (other horizons,).
        other_losses: Its losses there, (other horizons,).
    """
    limit = common_limit([(costs, losses), (other_costs, other_losses)])
    reached = [reaching_cost(other_costs, other_losses, level, limit) for level in losses]
    return np.array(reached) - np.log(costs)


def slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the coefficients of a least-squares plane through the origin of centred data.

    Args:
        x: Independent variables, (points, variables).
        y: Dependent variable, (points,).

    Returns:
        One coefficient per variable, (variables,); NaN if they are not determined.
    """
    centred = x - x.mean(axis=0)
    if not len(y) or not np.isfinite(y).all() or np.linalg.matrix_rank(centred) < x.shape[1]:
        return np.full(x.shape[1], np.nan)
    return np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0]


@dataclass(frozen=True)
class Projection:
    """The loss that a power law projects, with its confidence interval.

    Attributes:
        loss: The projected loss.
        low: Lower bound.
        high: Upper bound.
        limit: The limit of the loss.
        exponent: The exponent of the power law.
    """

    loss: float
    low: float
    high: float
    limit: float
    exponent: float


def project(x: np.ndarray, losses: np.ndarray, at: float, confidence: float = 0.95) -> Projection:
    """Projects the loss at a further rung by a saturating power law.

    L(x) = E + A x⁻ᵇ, 0 ≤ E < the lowest loss, b ≥ 0

    The logarithms of the losses are normally distributed around it, with a variance σ² that the seeds of all rungs
    give. For each E the law is a straight line through log(L − E), whose least squares χ²(E) and prediction are known
    in closed form. The interval is the set of all losses that a mean over as many seeds can have at the further rung
    without raising the least χ² by more than the quantile of F with 1 and k (n − 1) degrees of freedom (profile
    likelihood, Venzon and Moolgavkar 1988).

    Args:
        x: Compute or size of the rungs, (rungs,), at least two.
        losses: Losses of each seed on each rung, > 0, (rungs, seeds), at least two seeds.
        at: Compute or size of the further rung.
        confidence: Confidence level.
    """
    logs = np.log(losses)
    rungs, seeds = logs.shape
    freedom = rungs * (seeds - 1)
    variance = ((logs - logs.mean(axis=1, keepdims=True)) ** 2).sum() / freedom
    means, variance = np.exp(logs.mean(axis=1)), max(variance / seeds, 1e-16)
    allowed = stats.f.ppf(confidence, 1, freedom)
    limits = _refine(
        _LIMITS * means.min(), lambda limits: _fit(np.log(x), means, limits, variance=variance).excess, allowed
    )
    fits = _fit(np.log(x), means, limits, np.log(at), variance)
    best = int(fits.excess.argmin())
    excess = fits.excess - fits.excess[best]
    room = np.sqrt(np.maximum(allowed - excess, 0)) * fits.error
    inside = excess <= allowed
    low = (fits.limit + np.exp(fits.predicted - room))[inside].min()
    # As b ≥ 0, the law is nowhere above its value on the last rung, whose mean and that of the further one have errors.
    last = np.exp(logs[-1].mean() + np.sqrt(2 * allowed * variance))
    high = np.minimum(fits.limit + np.exp(np.minimum(fits.predicted + room, np.log(last))), last)[inside].max()
    loss = min(fits.limit[best] + np.exp(fits.predicted[best]), means[-1])
    return Projection(float(loss), float(low), float(high), float(fits.limit[best]), float(fits.exponent[best]))


@dataclass(frozen=True)
class _Fits:
    """Straight lines through log(L − E), one for each limit E: arrays, (limits,)."""

    limit: np.ndarray
    exponent: np.ndarray
    #: Weighted sum of squares χ².
    excess: np.ndarray
    #: The logarithm of L − E at the further rung, and its standard error with that of a new mean.
    predicted: np.ndarray
    error: np.ndarray


def _fit(
    log_x: np.ndarray,
    means: np.ndarray,
    limit: np.ndarray,
    at: float = 0.0,
    variance: float = 1.0,
    most: float = np.inf,
) -> _Fits:
    """Fits the lines, with 0 ≤ b ≤ `most`.

    `variance` is that of the logarithms of the means, `at` the logarithm of the further rung.
    """
    y, fitted = np.log(means - limit[:, None]), np.ones((len(limit), len(means)))
    for _ in range(_ITERATIONS):
        # The error of log(L − E) is that of L over L − E of the law: a mean next to the limit does not drop out.
        weights = (fitted / fitted.max(axis=1, keepdims=True)) ** 2
        total = weights.sum(axis=1)
        center = (weights * log_x).sum(axis=1) / total
        offset = log_x - center[:, None]
        spread = (weights * offset**2).sum(axis=1)
        steepness = np.clip((weights * offset * y).sum(axis=1) / spread, -most, 0)
        level = (weights * y).sum(axis=1) / total
        rest = np.exp(level[:, None] + steepness[:, None] * offset)
        fitted = rest / means
    excess = (((means - limit[:, None] - rest) / means) ** 2).sum(axis=1) / variance
    predicted = level + steepness * (at - center)
    scale = variance / fitted.max(axis=1) ** 2
    own = variance * (1 + limit / np.exp(predicted)) ** 2
    return _Fits(limit, -steepness, excess, predicted, np.sqrt(scale * (1 / total + (at - center) ** 2 / spread) + own))
