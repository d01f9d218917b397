"""Times to target by cell: success rate, and time statistics that include the seeds without success."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import RUN, drop_copied_runs, select_runs
from optbench.metrics.timing_error import timing_errors
from optbench.results.stored import CELL, GROUP
from optbench.statistics.intervals import wilson_bounds
from optbench.statistics.survival import expected_running_time, median_time, restricted_mean

_FIGURES = ["median_cost", "restricted_mean_cost", "restricted_mean_low", "restricted_mean_high", "expected_cost",
            "median_steps", "median_seconds"]  # fmt: skip


def select_times(times: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Selects the rows of `time_to_target` that belong to compared runs, without copies (see `compared`).

    Adds the accuracy of the cell's seconds: `timing_low` and `timing_high` (see `timing_error`), and `timed`, which is
    false for cells that were computed on another machine.

    Args:
        times: The frame of `time_to_target`.
        runs: Frame of runs.
        cells: Frame of cells.
    """
    own = times.merge(drop_copied_runs(select_runs(runs, cells))[RUN], on=RUN)
    if not {"step_ms", "step_ms_low", "step_ms_high"} <= set(cells):
        return own.assign(timing_low=np.nan, timing_high=np.nan, timed=True)
    errors = timing_errors(cells, "seconds_to_target").add_prefix("timing_").reset_index()
    untimed = cells.loc[cells["step_ms"].isna() & (cells["status"] == "ok"), "cell_id"]
    own = own.assign(timed=~own["cell_id"].isin(untimed))
    return own.merge(errors, on=CELL, how="left")


def target_summary(times: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per cell and target: success rate, median, restricted mean and expected running time.

    The columns are those of the cell, `target_name`, `target`, `n_seeds`, `n_reached`, `success` with Wilson's
    interval, the median cost, steps and seconds by Kaplan–Meier, `restricted_mean_cost` with its interval, and
    `expected_cost`, the cost of all runs per success. The restricted mean is the mean of min(cost, `horizon`); the
    horizon is the smallest run budget of the task, which all compared optimizers share. The figures are missing if it
    is unknown whether a run of the cell reached the target, or what its budget was.

    Args:
        times: The frame of `time_to_target`.
        runs: Frame of runs.
        cells: Frame of cells.
    """
    times = select_times(times, runs, cells)
    order = times["target_name"].astype(object).unique().tolist()  # easiest first, the order of the targets
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
    """Returns the first time by which half of the seeds reached the target, a miss being infinite.

    It is NaN if fewer did, or if the time of a seed is unknown.
    """
    values = np.where(reached, column.to_numpy(dtype=float), np.inf)
    middle = np.sort(values)[(len(values) - 1) // 2]
    return np.nan if np.isnan(values).any() or np.isinf(middle) else float(middle)
