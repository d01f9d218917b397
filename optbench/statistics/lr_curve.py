"""Loss as a function of the learning rate, known at some rates and interpolated between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """The rates around the best one whose loss is within a limit; unknown values are NaN.

    `count` adjacent rates that were tried, from `low` to `high`, are within the limit; their neighbours `beyond_low`
    and `beyond_high` are not. The interpolated loss meets the limit at `cross_low` and `cross_high`.
    """

    count: int
    low: float
    high: float
    cross_low: float
    cross_high: float
    beyond_low: float
    beyond_high: float


@dataclass(frozen=True)
class LrCurve:
    """Learning rates in ascending order, and the loss at each of them.

    It is infinite where training diverged, and NaN where training was stopped before its end.

    Between two rates the loss is linear in the logarithm of the rate. It is never extrapolated.
    """

    rates: np.ndarray
    losses: np.ndarray

    @classmethod
    def from_trials(cls, rates: np.ndarray, losses: np.ndarray, stopped: Sequence[float] | np.ndarray = ()) -> LrCurve:
        """Builds the curve from trials in any order.

        Rates that are not positive and losses that are NaN are ignored. Several losses at one rate are averaged.

        Args:
            rates: Learning rates, of shape (n,).
            losses: Losses, of shape (n,); infinite for a diverged trial.
            stopped: Rates at which a training was stopped early.
        """
        rates, losses = np.asarray(rates, dtype=float), np.asarray(losses, dtype=float)
        known = (rates > 0) & np.isfinite(rates) & ~np.isnan(losses)
        places, inverse = np.unique(rates[known], return_inverse=True)
        total = np.bincount(inverse, weights=losses[known], minlength=len(places))
        means = total / np.maximum(np.bincount(inverse, minlength=len(places)), 1)
        unknown = np.setdiff1d(np.asarray(stopped, dtype=float), places)
        order = np.argsort(every := np.append(places, unknown))
        return cls(every[order], np.append(means, np.full(len(unknown), np.nan))[order])

    @property
    def best(self) -> tuple[float, float]:
        """The rate with the smallest loss, and that loss; (NaN, NaN) if no loss is finite."""
        if not np.isfinite(self.losses).any():
            return math.nan, math.nan
        index = int(np.nanargmin(self.losses))
        return float(self.rates[index]), float(self.losses[index])

    def interpolate(self, rate: float) -> float:
        """Returns the loss at `rate`.

        It is NaN outside the rates that were tried, next to a rate at which training was stopped, and between a rate
        that trained and one that diverged. It is infinite between two adjacent rates that diverged.
        """
        if not len(self.rates) or not self.rates[0] <= rate <= self.rates[-1]:
            return math.nan
        right = int(np.searchsorted(self.rates, rate))
        if self.rates[right] == rate:
            return float(self.losses[right])
        low, high = self.losses[right - 1], self.losses[right]
        if np.isinf(low) and np.isinf(high):
            return math.inf
        if not (np.isfinite(low) and np.isfinite(high)):
            return math.nan
        left_rate, right_rate = self.rates[right - 1], self.rates[right]
        share = math.log(rate / left_rate) / math.log(right_rate / left_rate)
        return float(low + share * (high - low))

    def is_unknown(self, rate: float) -> bool:
        """Whether a rate lies at, or next to, one at which training was stopped."""
        place = int(np.searchsorted(self.rates, rate))
        near = slice(place, place + 1) if rate in self.rates else slice(max(place - 1, 0), place + 1)
        inside = len(self.rates) > 0 and self.rates[0] <= rate <= self.rates[-1]
        return bool(inside and np.isnan(self.losses[near]).any())

    def find_tolerance(self, limit: float) -> Tolerance:
        """Returns how far the rate may move from the best one with a loss of at most `limit`."""
        rate, loss = self.best
        if math.isnan(rate) or not loss <= limit:
            return Tolerance(0, *(math.nan,) * 6)
        best = int(np.flatnonzero(self.rates == rate)[0])
        places, crossings, beyond = [], [], []
        for step in (-1, 1):
            place = best
            while 0 <= place + step < len(self.rates) and self.losses[place + step] <= limit:
                place += step
            after = place + step
            tried = 0 <= after < len(self.rates)
            places.append(place)
            beyond.append(float(self.rates[after]) if tried and not np.isnan(self.losses[after]) else math.nan)
            if tried and np.isfinite(self.losses[after]):
                share = (limit - self.losses[place]) / (self.losses[after] - self.losses[place])
                crossings.append(float(self.rates[place] * (self.rates[after] / self.rates[place]) ** share))
            else:
                crossings.append(math.nan)
        inner = (float(self.rates[place]) for place in places)
        return Tolerance(places[1] - places[0] + 1, *inner, *crossings, *beyond)

    @property
    def diverges_from(self) -> float:
        """The smallest tried rate from which on all rates diverged; NaN if the largest one did not."""
        trained = np.flatnonzero(~np.isposinf(self.losses))
        first = int(trained[-1]) + 1 if len(trained) else 0
        return float(self.rates[first]) if first < len(self.rates) else math.nan
