"""Rules that carry a tuned learning rate up a ladder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.metrics.transfer_rules import RULES, transfer_rules
from tests.support.rows import cell_of, frame, trial_of

RATES = np.logspace(-5, 0, 41)


def loss_at(rate: float, best: float) -> float:
    return 0.5 * math.exp(0.3 * math.log10(rate / best) ** 2)


def made(exponent: float, noise: float = 0.0, budgets: tuple[float, ...] = (1000.0,)) -> tuple[pd.DataFrame, ...]:
    """Sizes 8 to 64, whose best rate is 0.1 (size/8)^exponent; dense trials around it."""
    random, cells, trials = np.random.default_rng(5), list[dict[str, Any]](), list[dict[str, Any]]()
    for budget in budgets:
        for size in (8.0, 16.0, 32.0, 64.0):
            best = 0.1 * (size / 8) ** exponent * math.exp(noise * random.normal())
            more = {"ladder": "p", "size": size, "run_budget": budget, "lr_tuned": best}
            cells.append(cell_of("adam", f"p[size={size:g},run_budget={budget:g}examples]", **more))
            rates = [*RATES, best]
            trials += [trial_of(cells[-1], place, rate, loss_at(rate, best)) for place, rate in enumerate(rates)]
    return frame(trials, "trials"), frame(cells, "cells")


@pytest.mark.parametrize(("rule", "exponent"), RULES["size"].items())
def test_the_right_rule_has_no_regret_and_the_fit_finds_it(rule: str, exponent: float) -> None:
    table = transfer_rules(*made(exponent)).set_index("rule")
    assert set(table["axis"]) == {"size"}
    assert table.loc[rule, "regret_worst"] == pytest.approx(0, abs=1e-3)
    assert table.loc[rule, ["rungs", "measured", "diverges"]].tolist() == [3, 3, 0]
    assert table["fitted"].to_numpy() == pytest.approx(exponent)
    for other, far in RULES["size"].items():
        expected = math.exp(0.3 * (math.log10(8) * (far - exponent)) ** 2) - 1
        assert table.loc[other, "regret_worst"] == pytest.approx(expected, abs=0.01)


def test_the_interval_is_that_of_a_regression() -> None:
    trials, cells = made(-0.7, noise=0.3)
    row = transfer_rules(trials, cells).iloc[0]
    fit = stats.linregress(np.log(cells["size"].astype(float)), np.log(cells["lr_tuned"].astype(float)))
    half = stats.t.ppf(0.975, 2) * fit.stderr
    assert [row["fitted"], row["fitted_low"], row["fitted_high"]] == pytest.approx(
        [fit.slope, fit.slope - half, fit.slope + half]
    )


def test_each_line_has_an_intercept_of_its_own() -> None:
    trials, cells = made(-0.5, budgets=(1000.0, 9000.0))
    later = cells["run_budget"] == 9000
    cells["lr_tuned"] = cells["lr_tuned"].where(~later, cells["lr_tuned"] / 3)
    table = transfer_rules(trials, cells)
    assert table.query("axis == 'size'")["fitted"].to_numpy() == pytest.approx(-0.5)
    assert (table.query("axis == 'size'")["rungs"] == 6).all()
    horizon = table.query("axis == 'horizon'")
    assert horizon["fitted"].to_numpy() == pytest.approx(-math.log(3) / math.log(9))
    assert (horizon["rungs"] == 4).all()


def test_rates_that_diverge_or_were_not_tried_have_no_regret() -> None:
    trials, cells = made(-1.0)
    top = trials["cell_id"].str.contains("size=64")
    trials.loc[top & (trials["lr"] > 0.02), "valid_loss"] = math.nan
    trials.loc[top & (trials["lr"] > 0.02), "status"] = "diverged"
    same = transfer_rules(trials, cells).set_index("rule").loc["as it is"]
    assert (same["measured"], same["diverges"]) == (2, 1)
    few = trials[~top | (trials["lr"] < 0.02)]
    same = transfer_rules(few, cells).set_index("rule").loc["as it is"]
    assert (same["measured"], same["diverges"]) == (2, 0)


def test_batch_sizes_are_an_axis_too() -> None:
    cells, trials = list[dict[str, Any]](), list[dict[str, Any]]()
    for batch in (10, 40):
        best = 0.01 * (batch / 10) ** 0.5
        cells.append(cell_of("sgd", "p", batch, ladder="p", lr_tuned=best))
        trials += [trial_of(cells[-1], place, rate, loss_at(rate, best)) for place, rate in enumerate([*RATES, best])]
    table = transfer_rules(frame(trials, "trials"), frame(cells, "cells")).set_index("rule")
    assert set(table["axis"]) == {"batch size"}
    assert table.loc["square root", "regret_worst"] == pytest.approx(0, abs=1e-3)
    assert table["fitted"].to_numpy() == pytest.approx(0.5)
    assert table["fitted_low"].isna().all(), "two rungs leave no degree of freedom"


def test_without_rungs_there_is_nothing() -> None:
    trials, cells = made(0.0)
    one = cells[cells["size"] == 8]
    assert transfer_rules(trials, one).empty
    assert transfer_rules(trials, cells.drop(columns="ladder")).empty
    assert transfer_rules(trials.iloc[:0], cells).empty
