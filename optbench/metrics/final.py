"""The loss and the metric at the end of runs: median, mean and its interval over seeds.

A failed run is worse than every number: it enters the median as infinity, and an infinite median is missing. In the
mean, a diverged run counts as its value at the start, and no run counts as worse than that (Wortsman et al. 2023
limit losses in the same way). No mean is over successes only. A run that broke down for another reason (oom, timeout,
error) could have ended anywhere, so the mean is missing. Runs that were not made because of a technical failure are
not in the median.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.compared import directions, drop_copied_runs, is_technical, limit_at_zero, signs
from optbench.results.stored import CELL
from optbench.statistics.intervals import t_bounds

#: Statuses of runs that failed by their own computation; a tuned run is `skipped` if no trial had a finite loss.
_LOST = ("diverged", "skipped")


def final_loss(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns the loss on the test set after the last step, one row per cell and tuning (`tuned`: at the tuned rate).

    The columns are those of the cell, `tuned`, `n_seeds`, `n_ok`, `median`, `mean`, `mean_low` and `mean_high` (95 %
    t-interval, limited to 0 for losses that were never negative), `lowest` and `highest` (of the runs that ended). The
    start that limits the mean is the validation loss at step 0.

    Args:
        runs: Frame of runs (see `optbench.load`).
        curves: Frame of curves, for the value at the start.
        cells: Frame of cells.
    """
    return _summarize_ends(runs, curves, cells, "test_loss", "valid_loss", pd.Series(dtype=bool))


def final_metric(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns the problem's metric on the test set after the last step; arguments and columns as of `final_loss`."""
    return _summarize_ends(runs, curves, cells, "test_metric", "valid_metric", directions(cells))


def _summarize_ends(
    runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, column: str, start: str, higher: pd.Series
) -> pd.DataFrame:
    runs = drop_copied_runs(runs)
    # Below, lower is better for every metric.
    sign = -signs(runs["problem"], higher)
    values = sign * pd.to_numeric(runs[column]).to_numpy(dtype=float, na_value=np.nan)
    done = (runs["status"] == "ok").to_numpy() & np.isfinite(values)
    begun = sign * _start_values(runs, curves, start)
    lost = runs["status"].isin(_LOST).to_numpy() | ((runs["status"] == "ok").to_numpy() & np.isinf(values))
    limited = np.where(done, np.fmin(values, begun), np.where(lost, begun, np.nan))
    table = runs[[*CELL, "tuned"]].assign(
        done=done,
        worst=np.where(done, values, np.where(is_technical(runs), np.nan, np.inf)),
        known=np.where(done, values, np.nan),
        limited=limited,
        unknown=np.isnan(limited),
        sign=sign,
    )
    by = table.groupby([*CELL, "tuned"], observed=True, sort=True)
    frame = by.agg(
        n_seeds=("done", "size"), n_ok=("done", "sum"), median=("worst", "median"), mean=("limited", "mean"),
        deviation=("limited", "std"), unknown=("unknown", "any"), low=("known", "min"), high=("known", "max"),
        sign=("sign", "first"),
    ).reset_index()  # fmt: skip
    mean = frame["mean"].where(~frame["unknown"]).to_numpy(dtype=float)
    low, high = t_bounds(mean, frame["deviation"], frame["n_seeds"])
    low = limit_at_zero(pd.Series(low, frame["problem"].astype(object)), values, runs["problem"], higher).to_numpy()
    median = frame["median"].where(np.isfinite(frame["median"]))
    up, turned = frame["sign"].to_numpy(dtype=float), frame["sign"].to_numpy() < 0
    return frame[[*CELL, "tuned", "n_seeds", "n_ok"]].assign(
        median=up * median,
        mean=up * mean,
        mean_low=np.where(turned, -high, low),
        mean_high=np.where(turned, -low, high),
        lowest=np.where(turned, -frame["high"], frame["low"]),
        highest=np.where(turned, -frame["low"], frame["high"]),
    )


def _start_values(runs: pd.DataFrame, curves: pd.DataFrame, column: str) -> np.ndarray:
    """Returns the value at step 0 of each run; NaN if it is unknown.

    All runs of a problem, device and seed share it, because they have the same initial weights.
    """
    keys = ["problem", "device", "seed"]
    first = (curves["step"] == 0).to_numpy() & (curves["kind"] == "run").to_numpy()
    starts = curves.loc[first, [*keys, column]].dropna().drop_duplicates(keys)
    if starts.empty:
        return np.full(len(runs), np.nan)
    return runs[keys].merge(starts, on=keys, how="left")[column].to_numpy(dtype=float, na_value=np.nan)
