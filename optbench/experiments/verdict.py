"""Verdicts on claims: whether the measured numbers agree with the predicted ones.

A claim about a number is the interval in which the number has to lie. The claim holds if the whole confidence interval
of the measured number lies in it, and does not hold if the confidence interval lies outside. This is the test by
interval inclusion (Westlake 1972), which decides both ways at the level of the interval. Otherwise the claim is
undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.formatting import format_number
from optbench.statistics.intervals import t_interval

HOLDS, FAILS, UNKNOWN = "holds", "does not hold here", "can't be told at this size"
#: Significant digits of a prediction.
_DIGITS = 4


@dataclass(frozen=True)
class Measurement:
    """A measured number and the claim about it.

    Attributes:
        quantity: What was measured, in words.
        measured: The measured number.
        low: The lower end of its 95 % interval; equal to `measured` for a deterministic number.
        high: The upper end.
        accepted: The interval in which the claim predicts the number, with its ends.
        predicted: The predicted number, if the claim names one.
        n: The number of samples.
    """

    quantity: str
    measured: float
    low: float
    high: float
    accepted: tuple[float, float]
    predicted: float = math.nan
    n: int = 1

    @property
    def verdict(self) -> str:
        low, high = self.accepted
        if math.isnan(self.low) or math.isnan(self.high):
            return UNKNOWN
        if low <= self.low and self.high <= high:
            return HOLDS
        return FAILS if self.high < low or high < self.low else UNKNOWN

    @property
    def prediction(self) -> str:
        """The prediction in words: the predicted number with its accepted interval, or the bound."""
        low, high = (format_number(bound, _DIGITS, trim=True) for bound in self.accepted)
        if math.isinf(self.accepted[1]):
            bound = f"≥ {low}"
        elif math.isinf(self.accepted[0]):
            bound = f"≤ {high}"
        else:
            bound = f"{low} to {high}"
        if math.isnan(self.predicted):
            return bound
        return f"{format_number(self.predicted, _DIGITS, trim=True)} ({bound})"


def estimate(
    quantity: str,
    samples: Iterable[float],
    accepted: tuple[float, float],
    predicted: float = math.nan,
    *,
    logarithmic: bool = False,
) -> Measurement:
    """The mean of independent samples with Student's 95 % interval.

    A sample that is not finite (a failed run) leaves neither interval nor verdict, because the mean of the others would
    be a mean of the successes only.

    Args:
        quantity: What was measured, in words.
        samples: The samples.
        accepted: The interval in which the claim predicts the mean.
        predicted: The predicted number, if the claim names one.
        logarithmic: Whether to use the geometric mean, as for ratios.
    """
    values = np.asarray(list(samples), dtype=float)
    if logarithmic:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(values)
    if not len(values) or not np.isfinite(values).all():
        return Measurement(quantity, math.nan, math.nan, math.nan, accepted, predicted, len(values))
    numbers = [float(values.mean()), *t_interval(values)]
    mean, low, high = (math.exp(number) for number in numbers) if logarithmic else numbers
    return Measurement(quantity, mean, low, high, accepted, predicted, len(values))


def exact(quantity: str, value: float, accepted: tuple[float, float], predicted: float = math.nan) -> Measurement:
    """A number that the same computation always reproduces, and which therefore has no interval."""
    return Measurement(quantity, value, value, value, accepted, predicted)


def around(predicted: float, part: float) -> tuple[float, float]:
    """The interval around a predicted number within a relative tolerance of `part`."""
    reach = abs(predicted) * part
    return predicted - reach, predicted + reach


def together(measurements: Sequence[Measurement]) -> str:
    """The verdict on a claim about several numbers: it holds if all of them hold, and fails if one of them fails."""
    verdicts = [measurement.verdict for measurement in measurements]
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and all(verdict == HOLDS for verdict in verdicts) else UNKNOWN


def table(measurements: Sequence[Measurement]) -> pd.DataFrame:
    """One row per measurement: quantity predicted measured low high n verdict."""
    return pd.DataFrame(
        [
            {
                "quantity": measurement.quantity,
                "predicted": measurement.prediction,
                "measured": measurement.measured,
                "low": measurement.low,
                "high": measurement.high,
                "n": measurement.n,
                "verdict": measurement.verdict,
            }
            for measurement in measurements
        ],
        columns=["quantity", "predicted", "measured", "low", "high", "n", "verdict"],
    )
