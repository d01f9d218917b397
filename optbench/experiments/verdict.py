"""What a claim predicts, what was measured, and whether the one can be told from the other.

A claim about a number is the interval in which it has to lie. It holds where the whole confidence interval
of the measured number lies in it, and does not where it lies outside as a whole: the test by inclusion of an
interval (Westlake 1972), which decides both ways at the interval's level. Everything else can't be told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.formatting import significant
from optbench.statistics.intervals import t_interval

HOLDS, FAILS, UNKNOWN = "holds", "does not hold here", "can't be told at this size"
#: Significant digits of a number in a table of findings.
_DIGITS = 4


@dataclass(frozen=True)
class Finding:
    """One number that a claim is about. `accepted` is where the claim says that it lies, `low` to `high` where
    the measurement says so (the same number twice where it is deterministic), from `n` samples.
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
        """The predicted number, the interval that is accepted for it, or the bound that the claim names."""
        low, high = (significant(bound, _DIGITS, trim=True) for bound in self.accepted)
        if math.isinf(self.accepted[1]):
            bound = f"≥ {low}"
        elif math.isinf(self.accepted[0]):
            bound = f"≤ {high}"
        else:
            bound = f"{low} to {high}"
        if math.isnan(self.predicted):
            return bound
        return f"{significant(self.predicted, _DIGITS, trim=True)} ({bound})"


def estimate(
    quantity: str,
    samples: Iterable[float],
    accepted: tuple[float, float],
    predicted: float = math.nan,
    *,
    logarithmic: bool = False,
) -> Finding:
    """The mean of independent samples with Student's 95 % interval; `logarithmic`: the geometric mean of ratios.

    A sample that is not finite (a failed run) leaves no interval, and so no verdict: the mean of the others
    would be one of successes only.
    """
    values = np.asarray(list(samples), dtype=float)
    if logarithmic:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(values)
    if not len(values) or not np.isfinite(values).all():
        return Finding(quantity, math.nan, math.nan, math.nan, accepted, predicted, len(values))
    numbers = [float(values.mean()), *t_interval(values)]
    mean, low, high = (math.exp(number) for number in numbers) if logarithmic else numbers
    return Finding(quantity, mean, low, high, accepted, predicted, len(values))


def exact(quantity: str, value: float, accepted: tuple[float, float], predicted: float = math.nan) -> Finding:
    """A number that the same computation always gives again: without chance, and so without an interval."""
    return Finding(quantity, value, value, value, accepted, predicted)


def around(predicted: float, part: float) -> tuple[float, float]:
    """The interval of a predicted number, to which a measured one may be off by this part of it."""
    reach = abs(predicted) * part
    return predicted - reach, predicted + reach


def together(findings: Sequence[Finding]) -> str:
    """The verdict on a claim of several numbers: it holds where all of them do, and not where one does not."""
    verdicts = [finding.verdict for finding in findings]
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and all(verdict == HOLDS for verdict in verdicts) else UNKNOWN


def table(findings: Sequence[Finding]) -> pd.DataFrame:
    """One row a finding: quantity predicted measured low high n verdict."""
    return pd.DataFrame(
        [
            {
                "quantity": finding.quantity,
                "predicted": finding.prediction,
                "measured": finding.measured,
                "low": finding.low,
                "high": finding.high,
                "n": finding.n,
                "verdict": finding.verdict,
            }
            for finding in findings
        ],
        columns=["quantity", "predicted", "measured", "low", "high", "n", "verdict"],
    )
