"""The loss and the metric that runs end with: median, mean and its interval over seeds.

A run that failed is worse than every number: it enters the median as an infinity, and a median that
lands on it is missing. In the mean, a diverged run counts as if it had never left its start, and no
run counts as worse than that (Wortsman et al. 2023 limit losses in the same way). Nothing is a mean
over successes only. A run that broke down for another reason (oom, timeout, error) might have ended anywhere:
then the mean is missing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.compared import directions, independent, signs
from optbench.results.stored import CELL
from optbench.statistics.intervals import t_bounds

#: What ends a run because of what it computed. `skipped` is a tuned run whose tuning found no finite loss.
_LOST = ("diverged", "skipped")


def final_loss(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Loss on the test set after the last step, one row a cell and tuning (`tuned`: at the tuned rate).

    `runs`, `curves` and `cells` are frames of `optbench.load`. Columns: the cell's, `tuned`, `n_seeds`,
    `n_ok`, `median`, `mean`, `mean_low`, `mean_high` (95 % t-interval), `lowest`, `highest` (of the runs
    that ended). The start that limits a mean is the validation loss at step 0.
    """
    return _final(runs, curves, cells, "test_loss", "valid_loss", pd.Series(dtype=bool))


def final_metric(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The problem's metric on the test set after the last step; columns as of `final_loss`."""
    return _final(runs, curves, cells, "test_metric", "valid_metric", directions(cells))


def _final(
    runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, column: str, start: str, higher: pd.Series
) -> pd.DataFrame:
    runs = independent(runs)
    # From here on lower is better.
    sign = -signs(runs["problem"], higher)
    values = sign * pd.to_numeric(runs[column]).to_numpy(dtype=float, na_value=np.nan)
    done = (runs["status"] == "ok").to_numpy() & np.isfinite(values)
    begun = sign * _starts(runs, curves, start)
    lost = runs["status"].isin(_LOST).to_numpy() | ((runs["status"] == "ok").to_numpy() & np.isinf(values))
    limited = np.where(done, np.fmin(values, begun), np.where(lost, begun, np.nan))
    table = runs[[*CELL, "tuned"]].assign(
        done=done,
        worst=np.where(done, values, np.inf),
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


def _starts(runs: pd.DataFrame, curves: pd.DataFrame, column: str) -> np.ndarray:
    """What each run started from: the value at step 0, which all runs of a problem, device and seed share,
    since they have the same initial weights. NaN where no evaluation at step 0 is known.
    """
    keys = ["problem", "device", "seed"]
    first = (curves["step"] == 0).to_numpy() & (curves["kind"] == "run").to_numpy()
    starts = curves.loc[first, [*keys, column]].dropna().drop_duplicates(keys)
    if starts.empty:
        return np.full(len(runs), np.nan)
    return runs[keys].merge(starts, on=keys, how="left")[column].to_numpy(dtype=float, na_value=np.nan)
