"""Times to an event that some never reach: the Kaplan–Meier curve, the restricted mean, the expected running time.

`times` is when each run reached the event, or when it was given up (`events` false): censored. A run
that diverged has not left the study by chance. It never gets there, so it counts as censored at the end of its
budget, when it could no longer have succeeded, and not where it died.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Survival:
    """A Kaplan–Meier curve: from `times[i]` (ascending) on, `survival[i]` have not reached the event.

    Before the first time it is 1. `at_risk[i]` runs were still under way just before, of which
    `events[i]` got there. `low` and `high` bound the survival.
    """

    times: np.ndarray
    survival: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    low: np.ndarray
    high: np.ndarray
    #: The last time at which anything is known; beyond it the curve is undefined unless it has come to 0.
    end: float


def kaplan_meier(times: np.ndarray, events: np.ndarray, confidence: float = 0.95) -> Survival:
    """The product-limit estimate (Kaplan and Meier 1958), a point an event time.

    S(t) = Π over event times tᵢ ≤ t of (1 − dᵢ/nᵢ); an event and a censoring at the same time count in
    this order. The bounds are Greenwood's on the scale of log(−log S) (Kalbfleisch and Prentice
    1980), missing (NaN) where S is 0. Raises ValueError for a time that is not finite.
    """
    times, events = np.asarray(times, dtype=float), np.asarray(events, dtype=bool)
    if not np.isfinite(times).all():
        raise ValueError("times must be finite: a run that never gets there is censored at its budget")
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
    """The first time by which half of the runs have got there, by Kaplan–Meier; NaN where fewer do."""
    curve = kaplan_meier(times, events)
    reached = np.flatnonzero(curve.survival <= 0.5 + 1e-12)
    return float(curve.times[reached[0]]) if len(reached) else math.nan


def restricted_mean(
    times: np.ndarray, events: np.ndarray, horizon: float, confidence: float = 0.95
) -> tuple[float, float, float]:
    """The mean of min(time, horizon) with its interval: the area under the Kaplan–Meier curve up to `horizon`.

    ∫₀^τ S(t) dt (Irwin 1949), variance Σ Aᵢ² dᵢ/(nᵢ(nᵢ − dᵢ)) with Aᵢ the area beyond tᵢ, times
    n/(n − 1), and Student's quantile of n − 1 degrees of freedom: without censoring before the horizon
    this is the t-interval of min(time, horizon), within [0, horizon]. All are NaN where a run was given
    up before the horizon and nothing is known of the rest; the bounds also below two runs, and where
    none got there before the horizon: no spread says how late they would have.
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
    """Cost of all runs, successful or not, per success: what restarting until it succeeds would cost.

    Σ times / number of successes (Hansen et al. 2021, COCO: "average runtime"). NaN without a success.
    """
    times, successes = np.asarray(times, dtype=float), int(np.sum(events))
    return float(times.sum() / successes) if successes else math.nan


def first_crossing(
    at: Sequence[float], metric: Sequence[float | None], target: float, higher_is_better: bool
) -> float | None:
    """Where the running best of `metric` first meets `target`, linearly interpolated between the
    points `at`; None where it never does. Missing values are passed over."""
    sign = 1.0 if higher_is_better else -1.0
    values = sign * np.array([np.nan if value is None else value for value in metric], dtype=float)
    known = np.isfinite(values)
    if not known.any():
        return None
    places = np.asarray(at, dtype=float)[known]
    best = np.maximum.accumulate(values[known])
    reached = best >= sign * target
    if not reached.any():
        return None
    index = int(np.argmax(reached))
    if index == 0:
        return float(places[0])
    share = (sign * target - best[index - 1]) / (best[index] - best[index - 1])
    return float(places[index - 1] + share * (places[index] - places[index - 1]))
