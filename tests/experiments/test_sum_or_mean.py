"""Sum or mean: exponents against numpy's fit, usable rates from made-up trials, and verdicts both ways."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.experiments import sum_or_mean
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.experiment_tables import verdicts

SIZES = (10, 20, 40, 80, 160)


def test_an_exponent_is_that_of_scipys_regression() -> None:
    random = np.random.default_rng(2)
    rates = 0.3 * np.array(SIZES) ** -0.7 * np.exp(0.1 * random.standard_normal(5))
    found = sum_or_mean.slope("q", SIZES, rates, (-1, 0))
    fit = stats.linregress(np.log(SIZES), np.log(rates))
    half = stats.t.ppf(0.975, 3) * fit.stderr
    assert (found.measured, found.low, found.high) == pytest.approx((fit.slope, fit.slope - half, fit.slope + half))


@pytest.mark.parametrize("rates", [(1.0, 2.0), (1.0, math.nan, 2.0)])
def test_too_few_or_missing_rates_have_no_exponent(rates: tuple[float, ...]) -> None:
    assert sum_or_mean.slope("q", range(1, len(rates) + 1), rates, (-9, 9)).verdict == UNKNOWN


def trials(exponent_sum: float, exponent_mean: float) -> pd.DataFrame:
    """Losses that are lowest at 0.3 B^exponent, rise to that at the start at ten times that, and fail beyond."""
    rows = []
    for reduction, exponent in (("sum", exponent_sum), ("mean", exponent_mean)):
        for size in SIZES:
            for lr in np.geomspace(1e-5, 1e1, 61):
                away = abs(math.log10(lr / (0.3 * size**exponent)))
                loss = 1.0 + away if away < 1.2 else math.nan
                rows.append({"task": "network", "reduction": reduction, "batch_size": size, "lr": lr, "start": 2.0,
                             "loss": loss})  # fmt: skip
    return pd.DataFrame(rows)


def test_the_usable_rate_still_halves_the_fall() -> None:
    found = sum_or_mean.best(trials(-1.0, 0.0)).set_index(["reduction", "batch_size"])
    assert found.loc[("mean", 40), "best_lr"] == pytest.approx(0.3, rel=0.13)
    # Half of the fall is lost half a decade beyond the best rate.
    assert found.loc[("mean", 40), "largest_lr"] == pytest.approx(0.3 * 10**0.5, rel=0.2)
    assert found.loc[("sum", 160), "best_lr"] == pytest.approx(0.3 / 160, rel=0.13)


def test_verdicts_follow_the_data() -> None:
    def judged(exponent_sum: float, exponent_mean: float) -> list[str]:
        return verdicts(sum_or_mean.evaluate({"best": sum_or_mean.best(trials(exponent_sum, exponent_mean))}))

    assert judged(-1.0, 0.0) == [HOLDS, HOLDS, HOLDS]
    assert judged(0.0, 0.0) == [FAILS, HOLDS, FAILS]
    assert judged(-1.0, -1.0) == [HOLDS, FAILS, FAILS]
