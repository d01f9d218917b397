"""Times to an event that some runs never reach: Kaplan–Meier curve, restricted mean, expected running time.

`times` is when each run reached the event, or when it ended without it (`events` false): it is censored. A run that
diverged was not lost by chance. It never reaches the event, so it counts as censored at the end of its budget, the
last time at which it could have succeeded, and not at the time of its failure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from optbench.statistics.equality import meets


@dataclass(frozen=True)
class Survival:
    """A Kaplan–Meier curve: from `times[i]` (ascending) on, a share `survival[i]` has not reached the event.

    Before the first time the share is 1. `at_risk[i]` runs were still without the event just before `times[i]`, and
    `events[i]` of them reached it. `low` and `high` bound the survival.
    """

    times: np.ndarray
    survival: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    low: np.ndarray
    high: np.ndarray
    #: The last known time; after it the curve is undefined unless it has reached 0.
    end: float


def kaplan_meier(times: np.ndarray, events: np.ndarray, confidence: float = 0.95) -> Survival:
    """Returns the product-limit estimate (Kaplan and Meier 1958), with one point per event time.

        S(t) = Π over event times tᵢ ≤ t of (1 − dᵢ/nᵢ)

    An event comes before a censoring at the same time. The bounds are Greenwood's on the scale of log(−log S)
    (Kalbfleisch and Prentice 1980).

    Args:
        times: Times of shape (n,).
        events: Whether each run reached the event, of shape (n,).
        confidence: Coverage of the pointwise bounds.

    Returns:
        The curve; its bounds are NaN where S is 0.

    Raises:
        ValueError: A time is not finite.
    """
    times, events = np.asarray(times, dtype=float), np.asarray(events, dtype=bool)
    if not np.isfinite(times).all():
        raise ValueError("times must be finite; a run that never reaches the event is censored at its budget")
    order = np.sort(times)
    at, deaths = np.unique(times[events], return_counts=True)
    risk = len(times) - np.searchsorted(order, at, side="left")
    survival = np.cumprod(1 - deaths / risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(deaths / (risk * (risk - deaths))) / np.log(survival) ** 2
        half = special.ndtri(0.5 + confidence / 2) * np.sqrt(variance)
        low, high = survival ** np.exp(half), survival ** np.exp(-half)
    known = survival > 0
    low, high = np.where(known, low, np.nan), np.where(known, high, np.nan)
    return Survival(at, survival, risk, deaths, low, high, float(order[-1]) if len(order) else math.nan)


def median_time(times: np.ndarray, events: np.ndarray) -> float:
    """Returns the first time by which half of the runs have the event, by Kaplan–Meier; NaN if fewer reach it."""
    curve = kaplan_meier(times, events)
    reached = np.flatnonzero(curve.survival <= 0.5 + 1e-12)
    return float(curve.times[reached[0]]) if len(reached) else math.nan


def restricted_mean(
    times: np.ndarray, events: np.ndarray, horizon: float, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Returns the restricted mean: the mean of min(time, horizon), with its confidence interval.

    It is the area under the Kaplan–Meier curve, ∫₀^τ S(t) dt (Irwin 1949). Its variance is Σ Aᵢ² dᵢ/(nᵢ(nᵢ − dᵢ)) ·
    n/(n − 1), with Aᵢ the area after tᵢ. The interval uses Student's quantile of n − 1 degrees of freedom. Without
    censoring before the horizon, it is the t-interval of min(time, horizon), limited to [0, horizon].

    Args:
        times: Times of shape (n,).
        events: Whether each run reached the event, of shape (n,).
        horizon: The time τ at which all times are cut off.
        confidence: Coverage of the interval.

    Returns:
        Mean, lower and upper bound. All are NaN if a run is censored before the horizon and the rest of the curve is
        unknown. The bounds are also NaN with fewer than two runs, and if no run has the event before the horizon: then
        nothing is known about the spread of the times.
    """
    times, events = np.asarray(times, dtype=float), np.asarray(events, dtype=bool)
    if not len(times) or not np.isfinite(times).all() or not math.isfinite(horizon):
        return math.nan, math.nan, math.nan
    curve = kaplan_meier(times, events)
    if curve.end < horizon and (not len(curve.survival) or curve.survival[-1] > 0):
        return math.nan, math.nan, math.nan
    inside = curve.times < horizon
    knots = np.concatenate([[0.0], curve.times[inside], [horizon]])
    height = np.concatenate([[1.0], curve.survival[inside]])
    pieces = np.diff(knots) * height
    mean = float(pieces.sum())
    n = len(times)
    if n < 2 or not inside.any():
        return mean, math.nan, math.nan
    beyond = (mean - np.cumsum(pieces))[:-1]
    deaths, risk = curve.events[inside], curve.at_risk[inside]
    left = risk - deaths  # at 0 the area beyond is 0 as well
    variance = float(np.sum(np.where(left > 0, beyond**2 * deaths / (risk * np.maximum(left, 1)), 0.0)))
    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2)) * math.sqrt(variance * n / (n - 1))
    return mean, max(mean - half, 0.0), min(mean + half, horizon)


def expected_running_time(times: np.ndarray, events: np.ndarray) -> float:
    """Returns the cost of all runs, successful or not, per success: the expected cost of restarting until one succeeds.

    Σ times / number of successes (Hansen et al. 2021, COCO: "average runtime"); NaN without a success.
    """
    times, successes = np.asarray(times, dtype=float), int(np.sum(events))
    return float(times.sum() / successes) if successes else math.nan


def first_crossing(
    at: Sequence[float], metric: Sequence[float | None], target: float, higher_is_better: bool
) -> float | None:
    """Returns where the running best of `metric` first meets `target`, or None if it never does.

    Args:
        at: Positions of the evaluations, such as steps or costs, in ascending order; the result is linearly
            interpolated between them.
        metric: The metric at these positions; missing values are ignored.
        target: The value to reach.
        higher_is_better: The direction of the metric.
    """
    sign = 1.0 if higher_is_better else -1.0
    values = sign * np.array([np.nan if value is None else value for value in metric], dtype=float)
    known = np.isfinite(values)
    if not known.any():
        return None
    places = np.asarray(at, dtype=float)[known]
    best = np.maximum.accumulate(values[known])
    reached = meets(best, sign * target)
    if not reached.any():
        return None
    index = int(np.argmax(reached))
    if index == 0:
        return float(places[0])
    share = min((sign * target - best[index - 1]) / (best[index] - best[index - 1]), 1.0)
    return float(places[index - 1] + share * (places[index] - places[index - 1]))
