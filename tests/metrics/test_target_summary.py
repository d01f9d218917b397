"""Success rates, medians and means of times to target, by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.metrics.target_summary import target_summary
from tests.support.rows import cell_of, frame, run_of


def summary_of(costs: dict[str, list[float | None]], **about: object) -> pd.DataFrame:
    """Of seeds that got there at these costs; None is a miss, NaN unknown."""
    cells, runs, times = [], [], []
    for optimizer, own in costs.items():
        cell = cell_of(optimizer, **about)
        cells.append(cell)
        for seed, cost in enumerate(own):
            run = run_of(cell, seed)
            runs.append(run)
            reached = pd.NA if cost is not None and math.isnan(cost) else cost is not None
            cost = math.nan if cost is None else cost
            times.append({name: run[name] for name in ("cell_id", "problem", "batch_size", "device", "schedule",
                                                       "optimizer", "seed", "tuned", "status")}
                         | {"target_name": "easy", "target": 0.5, "reached": reached, "cost_to_target": cost,
                            "steps_to_target": cost / 10, "seconds_to_target": cost / 1000,
                            "censored_at": cell["run_budget"]})  # fmt: skip
    table = pd.DataFrame(times).astype({"reached": "boolean"})
    return target_summary(table, frame(runs, "runs"), frame(cells, "cells")).set_index("optimizer")


def test_by_hand() -> None:
    row = summary_of({"adam": [20.0, 40.0, None]}).loc["adam"]
    assert (row["n_seeds"], row["n_reached"], row["success"]) == (3, 2, 2 / 3)
    wilson = stats.binomtest(2, 3).proportion_ci(0.95, "wilson")
    assert (row["success_low"], row["success_high"]) == pytest.approx((wilson.low, wilson.high))
    assert (row["median_cost"], row["median_steps"], row["median_seconds"]) == (40.0, 4.0, 0.04)
    assert row["restricted_mean_cost"] == pytest.approx(160 / 3)
    interval = stats.ttest_1samp([20, 40, 100], 0).confidence_interval(0.95)
    bounds = np.clip([interval.low, interval.high], 0, 100)
    assert row[["restricted_mean_low", "restricted_mean_high"]].tolist() == pytest.approx(bounds.tolist())
    assert row["expected_cost"] == 80.0
    assert row["horizon"] == 100.0


def test_all_missed_and_one_seed() -> None:
    row = summary_of({"adam": [None, None]}).loc["adam"]
    assert (row["n_reached"], row["success"], row["restricted_mean_cost"]) == (0, 0.0, 100.0)
    assert row[["median_cost", "expected_cost", "restricted_mean_low", "median_seconds"]].isna().all()
    row = summary_of({"adam": [30.0]}).loc["adam"]
    assert (row["median_cost"], row["restricted_mean_cost"], row["expected_cost"]) == (30.0, 30.0, 30.0)
    assert math.isnan(row["restricted_mean_high"])


def test_one_unknown_run_makes_its_cell_unknown_and_no_other() -> None:
    table = summary_of({"adam": [20.0, math.nan], "sgd": [20.0, 30.0]})
    figures = ["n_reached", "success", "success_low", "median_cost", "restricted_mean_cost", "expected_cost"]
    assert table.loc["adam", figures].isna().all()
    assert table.loc["sgd", figures].notna().all()
    assert table.loc["adam", "n_seeds"] == 2
    table = summary_of({"adam": [20.0, None]}, run_budget=math.nan)
    assert table.loc["adam", figures].isna().all(), "what the miss has cost isn't known"


def test_nothing() -> None:
    table = summary_of({"adam": [20.0]})
    empty = target_summary(
        pd.DataFrame(columns=["cell_id", "problem", "batch_size", "device", "schedule", "optimizer", "seed", "tuned",
                              "status", "target_name", "target", "reached", "cost_to_target", "steps_to_target",
                              "seconds_to_target", "censored_at"]),
        frame([run_of(cell_of())], "runs"), frame([cell_of()], "cells"),
    )  # fmt: skip
    assert len(empty) == 0
    assert list(empty.columns) == list(table.reset_index()[empty.columns].columns)
