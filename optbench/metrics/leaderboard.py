"""The leaderboard and its summary.

A failed seed is worse than every number in both directions of the metric: it enters medians as infinity. An infinite
median is reported as NaN and ranked last.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from optbench.formatting import format_cell, format_number
from optbench.metrics import METRICS, higher_is_better
from optbench.metrics.compared import (
    directions,
    drop_copied_runs,
    is_technical,
    keep_shared_seeds,
    merge_ties,
    select_runs,
    signs,
)
from optbench.results.stored import CELL, GROUP

#: Statuses of failed cells and runs. `skipped` is not a failure here: such a run was never started.
FAILURES = ("diverged", "oom", "timeout", "error")

_COLUMNS = [
    *GROUP, "rank", "optimizer", "lr", "others_tuned", "n_ok", "n_runs", "test_metric", "test_metric_low",
    "test_metric_high", "test_metric_default", "test_metric_paired", "valid_loss", "target_reached",
    "cost_to_target", "step_ms", "diverged", "edge", "status",
]  # fmt: skip
_SUMMARY = [
    "optimizer", "mean_rank", "median_rank", "groups", "best_in", "target_reached", "diverged",
    "failed_cells",
]  # fmt: skip
_COUNTS = ["rank", "n_ok", "n_runs", "diverged", "groups", "best_in", "failed_cells"]


def leaderboard(runs: pd.DataFrame, cells: pd.DataFrame, rank_by: str = "test_metric") -> pd.DataFrame:
    """Returns one row per cell, ranked within its task by a median over seeds, each distinct observation once.

    Ties share the better rank. A cell that failed before any run is ranked last; a cell that has not run yet, or failed
    for a technical reason (see `compared.is_technical`), has no rank. `test_metric_low` and `_high` are the range over
    the successful seeds. `target_reached` is a share of all seeds, and `cost_to_target` a median over all seeds in
    which a miss is infinite. `others_tuned` has the chosen hyperparameters other than the learning rate.
    `test_metric_default` is the median of the runs at the default rate, which are on the first seeds only;
    `test_metric_paired` is the median of the tuned runs on these seeds, for the effect of tuning.

    Args:
        runs: Frame of runs (see `optbench.load`).
        cells: Frame of cells.
        rank_by: The column of `runs` to rank by, one of `metrics.METRICS`.
    """
    # Frames may hold a cell twice, and categories without rows.
    cells = cells.drop_duplicates("cell_id")
    runs = drop_copied_runs(runs)
    ranked = select_runs(runs, cells)
    shared = keep_shared_seeds(runs[(runs["status"].ne("skipped") | runs["tuned"].astype(bool)) & ~is_technical(runs)])
    default = shared[~shared["tuned"].astype(bool)]
    paired = select_runs(shared[shared["cell_id"].isin(default["cell_id"])], cells)
    higher = directions(cells)
    ok = (ranked["status"] == "ok").to_numpy()
    reached = ok & ranked["target_reached"].fillna(False).to_numpy(dtype=bool)
    metric = _numbers(ranked, "test_metric")
    known = pd.Series(np.where(ok & np.isfinite(metric), metric, np.nan)).groupby(ranked["cell_id"].to_numpy())
    mine = ranked["cell_id"].to_numpy()
    up = pd.Series(signs(cells["problem"], higher), index=cells["cell_id"])
    ascending = up if METRICS[rank_by].better == "problem" else (1.0 if higher_is_better(rank_by, False) else -1.0)
    figures = pd.DataFrame({
        "lr": ranked.drop_duplicates("cell_id").set_index("cell_id")["lr"],
        "n_ok": pd.Series(ok).groupby(mine).sum(),
        "n_runs": pd.Series(ok).groupby(mine).size(),
        "test_metric": _drop_infinite(_medians(ranked, "test_metric", -up) * -up),
        "test_metric_low": known.min(),
        "test_metric_high": known.max(),
        "test_metric_default": _drop_infinite(_medians(default, "test_metric", -up) * -up),
        "test_metric_paired": _drop_infinite(_medians(paired, "test_metric", -up) * -up),
        "valid_loss": _drop_infinite(_medians(ranked, "valid_loss")),
        "target_reached": pd.Series(reached).groupby(mine).mean(),
        "cost_to_target": _drop_infinite(
            _medians(ranked.assign(status=np.where(reached, "ok", "missed")), "cost_to_target")
        ),
        "step_ms": ranked[ok].groupby("cell_id", observed=True)["step_ms"].median(),
        "diverged": ranked["status"].isin(["diverged", "skipped"]).groupby(mine).sum(),
        "score": -_medians(ranked, rank_by, -ascending),
    })  # fmt: skip
    # Cells that an older version froze do not have it.
    others = cells["others_tuned"].astype(object).fillna("") if "others_tuned" in cells else ""
    board = cells[[*CELL, "cell_id", "edge", "status", "lr_tuned", "target"]].assign(others_tuned=others)
    board = board.join(figures, on="cell_id")
    own = (board["status"].isin(FAILURES) & ~is_technical(cells)).to_numpy()
    ran, failed = board["n_runs"].fillna(0) > 0, pd.Series(own, index=board.index)
    board["lr"] = board["lr"].where(ran, board["lr_tuned"])
    board["score"] = board["score"].where(ran, np.where(failed, -math.inf, math.nan))
    board["target_reached"] = board["target_reached"].where(ran, np.where(failed, 0.0, math.nan))
    board = board.fillna({"n_ok": 0, "n_runs": 0, "diverged": 0})
    board.loc[board["target"].isna(), ["target_reached", "cost_to_target"]] = math.nan
    if rank_by.endswith("_to_target"):
        board.loc[board["target"].isna(), "score"] = math.nan
    board["score"] = merge_ties(board["score"], [board[name] for name in GROUP])
    board["rank"] = board.groupby(GROUP, dropna=False, observed=True)["score"].rank(method="min", ascending=False)
    board = board.sort_values([*GROUP, "rank", "optimizer"], na_position="last", ignore_index=True)
    return _with_counts(board[_COLUMNS])


def for_paper(
    board: pd.DataFrame, final: pd.DataFrame | None = None, verdicts: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Returns the columns of a leaderboard that a paper prints, as text with three digits, for the compared runs alone.

    They are problem, batch size, optimizer, learning rate, and the median of the test metric with the range over the
    seeds. `final` adds the mean with the half width of its 95 % interval and the number of seeds, `verdicts` the
    verdict against the reference and its adjusted p-value. An interval that is limited by 0 has both of its ends
    instead of a half width. Device and schedule are columns only if there are several.

    Args:
        board: The frame of `leaderboard`.
        final: The frame of `final_metric`.
        verdicts: The frame of `verdicts`.
    """
    several = [name for name in ("device", "schedule") if board[name].nunique() > 1]
    names = {"problem": "problem", "batch_size": "batch size", **dict(zip(several, several, strict=True))}
    table = board[[*names, "optimizer"]].rename(columns=names)
    table["learning rate"] = [format_cell("lr", rate) for rate in board["lr"]]
    measured = zip(board["test_metric"], board["test_metric_low"], board["test_metric_high"], strict=True)
    table["test metric"] = [_with_range(*values) for values in measured]
    if final is not None:
        # A cell has tuned runs, or untuned ones if there is nothing to tune.
        own = board[CELL].merge(final.sort_values("tuned").drop_duplicates(CELL, keep="last"), on=CELL, how="left")
        ends = zip(own["mean"], own["mean_low"], own["mean_high"], strict=True)
        table["mean ± 95 %"] = [_with_half_width(*values) for values in ends]
        table["n"] = own["n_seeds"].astype("Int64").to_numpy()
    if verdicts is not None and len(verdicts):
        own = board[CELL].merge(verdicts.drop_duplicates(CELL), on=CELL, how="left")
        table[f"against {verdicts['reference'].iloc[0]}"] = own["verdict"].astype(object).fillna("–").to_numpy()
        p = own["p_holm"].where(own["verdict"] != "tie", own["p_tie"]).astype(float)
        table["p"] = [format_number(value, 2) for value in p]
    return table


def _with_half_width(mean: float, low: float, high: float) -> str:
    middle, half = format_number(mean, 3), high - mean
    if math.isnan(half):
        return middle
    if not math.isclose(half, mean - low, rel_tol=1e-6):
        return f"{middle} [{format_number(low, 3)}, {format_number(high, 3)}]"
    return f"{middle} ± {format_number(half, 2)}"


def _with_range(median: float, low: float, high: float) -> str:
    middle, lowest, highest = (format_number(value, 3) for value in (median, low, high))
    return middle if lowest == highest else f"{middle} [{lowest}, {highest}]"


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    return pd.to_numeric(frame[column]).to_numpy(dtype=float, na_value=math.nan)


def _medians(runs: pd.DataFrame, column: str, sign: pd.Series | float = 1.0) -> pd.Series:
    """Returns by cell the median over runs of `sign` times a column.

    A run that failed or has no value is infinite. `sign` (a number, or one per cell) makes lower values better.
    """
    values = _numbers(runs, column)
    lost = (runs["status"] != "ok").to_numpy() | ~np.isfinite(values)
    cell = runs["cell_id"].to_numpy()
    turned = values * (sign if isinstance(sign, float) else pd.Series(cell).map(sign).to_numpy(dtype=float))
    return pd.Series(np.where(lost, math.inf, turned)).groupby(cell).median()


def _drop_infinite(medians: pd.Series) -> pd.Series:
    return medians.where(np.isfinite(medians))


def _with_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Converts counts to nullable integers, so that a missing rank does not turn the others into floats."""
    return frame.astype({name: "Int64" for name in _COUNTS if name in frame})


def summary(board: pd.DataFrame, rank_by: str = "test_metric") -> pd.DataFrame:
    """Returns one row per optimizer of a leaderboard, by mean rank over the tasks in which it has one.

    Ties share the better rank here, and their mean rank in `aggregate`, whose `mean_rank` is over the common tasks.
    `groups` is the number of these tasks, `best_in` the number in which it is first, most of its runs ended and their
    median is known, `target_reached` the mean share over tasks with a target, and `diverged` a number of runs.

    Args:
        board: The frame of `leaderboard`.
        rank_by: The metric of its ranks.
    """
    rows = []
    # If no cell of a task has a value, all of them share the first place. Seconds are known where the cost is.
    ranked = "cost_to_target" if rank_by == "seconds_to_target" else rank_by
    known = board[ranked].notna() if ranked in board else pd.Series(True, index=board.index)
    first = (board["rank"] == 1) & (2 * board["n_ok"] > board["n_runs"]) & known
    for optimizer, cells in board.groupby("optimizer", sort=True):
        ranks = cells["rank"].dropna().astype(float)
        rows.append(
            {
                "optimizer": optimizer,
                "mean_rank": ranks.mean(),
                "median_rank": ranks.median(),
                "groups": len(ranks),
                "best_in": int(first[cells.index].sum()),
                "target_reached": cells["target_reached"].mean(),
                "diverged": int(cells["diverged"].sum()),
                "failed_cells": int(cells["status"].isin(FAILURES).sum()),
            }
        )
    table = pd.DataFrame(rows, columns=_SUMMARY)
    return _with_counts(table.sort_values(["mean_rank", "optimizer"], na_position="last", ignore_index=True))
