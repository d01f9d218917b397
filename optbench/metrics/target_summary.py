"""Times to target of each cell: how many seeds got there, and at which cost, those that did not included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import RUN, compared_runs, independent
from optbench.metrics.timing_error import timing_errors
from optbench.results.stored import CELL, GROUP
from optbench.statistics.intervals import wilson_bounds
from optbench.statistics.survival import expected_running_time, median_time, restricted_mean

_FIGURES = ["median_cost", "restricted_mean_cost", "restricted_mean_low", "restricted_mean_high", "expected_cost",
            "median_steps", "median_seconds"]  # fmt: skip


def compared_times(times: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of `time_to_target` of runs that are compared, each an observation of its own (see `compared`).

    Beside them how well the seconds of their cell are known: `timing_low` and `timing_high` (see `timing_error`), and
    whether it was `timed` at all: a cell of another machine was not, though it was done.
    """
    own = times.merge(independent(compared_runs(runs, cells))[RUN], on=RUN)
    if not {"step_ms", "step_ms_low", "step_ms_high"} <= set(cells):
        return own.assign(timing_low=np.nan, timing_high=np.nan, timed=True)
    errors = timing_errors(cells, "seconds_to_target").add_prefix("timing_").reset_index()
    untimed = cells.loc[cells["step_ms"].isna() & (cells["status"] == "ok"), "cell_id"]
    own = own.assign(timed=~own["cell_id"].isin(untimed))
    return own.merge(errors, on=CELL, how="left")


def target_summary(times: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a cell and target: success rate, median, restricted mean and expected running time.

    `times` is the frame of `time_to_target`. Columns: the cell's, `target_name`, `target`, `n_seeds`,
    `n_reached`, `success` with Wilson's interval, the median cost, steps and seconds by Kaplan–Meier,
    `restricted_mean_cost` with its interval: the mean of min(cost, `horizon`), the horizon being the smallest
    run budget of the group, so that it is common to all that are compared; `expected_cost`, the
    cost of all runs over the number of successes. A cell with a run of which it isn't known whether
    it got there, or what it was allowed to spend, has none of these figures.
    """
    times = compared_times(times, runs, cells)
    order = times["target_name"].astype(object).unique().tolist()  # easiest first, as the targets are
    times = times.assign(target_name=pd.Categorical(times["target_name"], order, ordered=True))
    horizon = times.groupby(GROUP, observed=True)["censored_at"].transform("min")
    times = times.assign(horizon=horizon.astype(float))
    rows: list[dict[Any, Any]] = []
    by = [*GROUP, "target_name", "optimizer"]
    for key, cell in times.groupby(by, observed=True, sort=True):
        rows.append(dict(zip(by, key, strict=True)) | _figures(cell))
    columns = [*CELL, "target_name", "target", "n_seeds", "n_reached", "success", "success_low", "success_high",
               "horizon", *_FIGURES]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    low, high = wilson_bounds(table["n_reached"].astype(float), table["n_seeds"].astype(float))
    known = table["n_reached"].notna()
    return table.assign(
        n_reached=table["n_reached"].astype("Int64"),
        success=(table["n_reached"] / table["n_seeds"]).astype(float),
        success_low=np.where(known, low, np.nan),
        success_high=np.where(known, high, np.nan),
    )


def _figures(cell: pd.DataFrame) -> dict[str, Any]:
    budget = cell["censored_at"].to_numpy(dtype=float)
    cost = cell["cost_to_target"].to_numpy(dtype=float)
    about = {"target": cell["target"].iloc[0], "n_seeds": len(cell), "horizon": cell["horizon"].iloc[0]}
    if cell["reached"].isna().any() or np.isnan(np.where(np.isnan(cost), budget, cost)).any():
        return about | {"n_reached": None}
    reached = cell["reached"].to_numpy(dtype=bool)
    at = np.where(reached, cost, budget)
    mean, low, high = restricted_mean(at, reached, about["horizon"])
    return about | {
        "n_reached": int(reached.sum()),
        "median_cost": median_time(at, reached),
        "restricted_mean_cost": mean,
        "restricted_mean_low": low,
        "restricted_mean_high": high,
        "expected_cost": expected_running_time(at, reached),
        "median_steps": _median(cell["steps_to_target"], reached),
        "median_seconds": _median(cell["seconds_to_target"], reached),
    }


def _median(column: pd.Series, reached: np.ndarray) -> float:
    """The first time by which half of the seeds are there, a miss being infinite; NaN where fewer are,
    or where it isn't known when one got there.
    """
    values = np.where(reached, column.to_numpy(dtype=float), np.inf)
    middle = np.sort(values)[(len(values) - 1) // 2]
    return np.nan if np.isnan(values).any() or np.isinf(middle) else float(middle)
