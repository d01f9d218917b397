"""The leaderboard, its summary, and writing tables: frame in, frame (or file) out.

A failed seed is worse than every number, whichever direction the metric has: it enters medians as
an infinity, and a median that lands on it is reported as NaN and ranked last.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype

from optbench.metrics import higher_is_better
from optbench.metrics.audit import audit, marked
from optbench.metrics.registry import TABLES
from optbench.results.atomic import write_bytes
from optbench.tabular import is_missing, latex, markdown, terminal

__all__ = ["all_tables", "leaderboard", "summary", "terminal", "write_tables"]

#: What is compared with one another: optimizers on one problem, batch size, device and schedule.
GROUP = ["problem", "batch_size", "device", "schedule"]
CELL = [*GROUP, "optimizer"]
#: How a cell or run can fail. `skipped` is none of them: it was never asked to succeed.
FAILURES = ("diverged", "oom", "timeout", "error")

_COLUMNS = [
    *GROUP, "rank", "optimizer", "lr", "n_ok", "n_runs", "test_metric", "test_metric_low", "test_metric_high",
    "test_metric_default", "valid_loss", "target_reached", "cost_to_target", "step_ms", "diverged", "edge",
    "status",
]  # fmt: skip
_SUMMARY = [
    "optimizer", "mean_rank", "median_rank", "groups", "best_in", "target_reached", "diverged",
    "failed_cells",
]  # fmt: skip
_COUNTS = ["rank", "n_ok", "n_runs", "diverged", "groups", "best_in", "failed_cells"]


def ranked_runs(runs: pd.DataFrame, trials: float) -> pd.DataFrame:
    """The runs of one cell that its rank rests on: the tuned ones, or, where there was nothing to
    tune (no trials), those at the default learning rate. A run that was skipped because no trial
    ended with a finite loss is among them, as a failure.
    """
    tuned = runs["tuned"].astype(bool)
    return runs[tuned if tuned.any() or trials > 0 else ~tuned]


def all_tables(results: Any, rank_by: str = "test_metric") -> dict[str, pd.DataFrame]:
    """The tables of a results directory (what `optbench.load` gives), by the names of their files: its
    frames, the audit, the leaderboard that it marks, its summary, and those of `metrics.registry.TABLES`.
    """
    findings = audit(results.trials, results.runs, results.cells)
    board = marked(leaderboard(results.runs, results.cells, rank_by), findings)
    frames = {name: getattr(results, name) for name in ("runs", "trials", "curves", "cells")}
    tables = {"summary": summary(board), "leaderboard": board, "audit": findings, **frames}
    for name, table in TABLES.items():
        tables[name] = table.make(results, tables)
    return tables


def leaderboard(runs: pd.DataFrame, cells: pd.DataFrame, rank_by: str = "test_metric") -> pd.DataFrame:
    """One row per cell, ranked inside its group (`GROUP`) by a median over seeds: of the test metric,
    or of the column of `runs` that `rank_by` names (one of `metrics.METRICS`).

    `runs` and `cells` are the frames of `optbench.load`. Ties share the better rank. A cell that
    failed before any run is ranked last; one without runs that did not fail (not yet run) has no
    rank. `test_metric_low` and `_high` are the range over the seeds that succeeded,
    `target_reached` is a share of all seeds, `cost_to_target` a median over all seeds in which a
    miss is infinite.
    """
    by_cell = dict(list(runs.groupby("cell_id", sort=False)))
    higher = {
        problem: bool(flags.dropna().all()) for problem, flags in cells.groupby("problem")["metric_higher_is_better"]
    }
    rows, scores = [], []
    for cell in cells.to_dict("records"):
        own = by_cell.get(cell["cell_id"], runs.iloc[:0])
        row, score = _row(cell, own, higher[cell["problem"]], rank_by)
        rows.append(row)
        scores.append(score)
    board = pd.DataFrame(rows, columns=_COLUMNS)
    board["score"] = np.array(scores, dtype=float)
    board["rank"] = board.groupby(GROUP, dropna=False)["score"].rank(method="min", ascending=False)
    board = board.sort_values([*GROUP, "rank", "optimizer"], na_position="last", ignore_index=True)
    return _with_counts(board[_COLUMNS])


def _row(cell: dict[Any, Any], runs: pd.DataFrame, higher: bool, rank_by: str) -> tuple[dict[str, Any], float]:
    """A leaderboard row but for its rank, and the score that it is ranked by: higher is better, minus
    infinity is failed, NaN has no rank.
    """
    worst = -math.inf if higher else math.inf
    ranked = ranked_runs(runs, cell["trials"])
    untuned = runs[~runs["tuned"].astype(bool) & (runs["status"] != "skipped")]
    ok = ranked["status"] == "ok"
    median = _median(ranked, "test_metric", worst)
    metrics = _numbers(ranked, "test_metric")[ok.to_numpy()]
    metrics = metrics[np.isfinite(metrics)]
    failed = cell["status"] in FAILURES
    if len(ranked):
        reached = ranked["target_reached"].fillna(False).astype(bool) & ok
        share = float(reached.mean())
        cost = _median(ranked.assign(status=ranked["status"].where(reached, "missed")), "cost_to_target")
        ascending = 1.0 if higher_is_better(rank_by, higher) else -1.0
        score = ascending * _median(ranked, rank_by, -ascending * math.inf)
        score = -math.inf if math.isnan(score) else score
    else:
        share = 0.0 if failed else math.nan
        cost, score = math.nan, -math.inf if failed else math.nan
    if pd.isna(cell["target"]):
        share = cost = math.nan
        score = math.nan if rank_by.endswith("_to_target") else score
    row = {name: cell[name] for name in [*CELL, "edge", "status"]}
    row |= {
        "lr": ranked["lr"].iloc[0] if len(ranked) else cell["lr_tuned"],
        "n_ok": int(ok.sum()),
        "n_runs": len(ranked),
        "test_metric": median,
        "test_metric_low": metrics.min() if len(metrics) else math.nan,
        "test_metric_high": metrics.max() if len(metrics) else math.nan,
        "test_metric_default": _median(untuned, "test_metric", worst),
        "valid_loss": _median(ranked, "valid_loss"),
        "target_reached": share,
        "cost_to_target": cost,
        "step_ms": pd.to_numeric(ranked.loc[ok, "step_ms"]).median(),
        "diverged": int(ranked["status"].isin(["diverged", "skipped"]).sum()),
    }
    return row, score


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    return pd.to_numeric(frame[column]).to_numpy(dtype=float, na_value=math.nan)


def _median(runs: pd.DataFrame, column: str, worst: float = math.inf) -> float:
    """Median over all runs, where one that failed or has no value counts as `worst`."""
    if runs.empty:
        return math.nan
    values = _numbers(runs, column)
    lost = (runs["status"] != "ok").to_numpy() | ~np.isfinite(values)
    median = float(np.median(np.where(lost, worst, values)))
    return median if math.isfinite(median) else math.nan


def _with_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers as nullable integers: a rank that is missing must not turn the others to floats."""
    return frame.astype({name: "Int64" for name in _COUNTS if name in frame})


def summary(board: pd.DataFrame) -> pd.DataFrame:
    """One row per optimizer of a leaderboard, by mean rank over the `groups` in which it has one.

    `best_in` counts the groups in which it is first, `target_reached` is the mean share over the
    groups that have a target, `diverged` counts runs.
    """
    rows = []
    for optimizer, cells in board.groupby("optimizer", sort=True):
        ranks = cells["rank"].dropna().astype(float)
        rows.append(
            {
                "optimizer": optimizer,
                "mean_rank": ranks.mean(),
                "median_rank": ranks.median(),
                "groups": len(ranks),
                "best_in": int((ranks == 1).sum()),
                "target_reached": cells["target_reached"].mean(),
                "diverged": int(cells["diverged"].sum()),
                "failed_cells": int(cells["status"].isin(FAILURES).sum()),
            }
        )
    table = pd.DataFrame(rows, columns=_SUMMARY)
    return _with_counts(table.sort_values(["mean_rank", "optimizer"], na_position="last", ignore_index=True))


def write_tables(tables: Mapping[str, pd.DataFrame], directory: Path, papers: set[str]) -> None:
    """Writes each table as parquet and csv, and those named in `papers` as Markdown and LaTeX too.

    A csv holds every digit; Markdown and LaTeX show significant digits. Raises OSError where the
    disk does not take them.
    """
    for name, table in tables.items():
        write_bytes(directory / f"{name}.parquet", _parquet(table))
        # Without a float format pandas writes the shortest text that reads back as the same number.
        write_bytes(directory / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
        if name in papers:
            write_bytes(directory / f"{name}.md", markdown(table).encode())
            write_bytes(directory / f"{name}.tex", latex(table).encode())


def _parquet(table: pd.DataFrame) -> bytes:
    """The table as parquet; a column that mixes types (a hyperparameter such as `auto` or 0.1)
    becomes text, since parquet columns have one type.
    """
    table = table.copy()
    for name in (name for name, dtype in table.dtypes.items() if is_object_dtype(dtype)):
        kinds = {type(value) for value in table[name] if not is_missing(value)}
        if len(kinds) > 1 and not kinds <= {int, float}:
            table[name] = table[name].map(lambda value: None if is_missing(value) else str(value))
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
