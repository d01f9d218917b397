"""The leaderboard over all tasks: one row per optimizer with its rank, score, verdicts, speed and failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.fresh_seeds import order_overall
from optbench.metrics.leaderboard import FAILURES
from optbench.metrics.verdicts import choose_reference
from optbench.results.stored import GROUP

COLUMNS = [
    "rank", "tied", "optimizer", "score", "score_low", "score_high", "median_rank", "wins", "ties", "losses",
    "inconclusive", "target_reached", "step_ratio", "memory_ratio", "failed_runs", "failed_cells", "audit",
]  # fmt: skip


def standings(tables: Mapping[str, pd.DataFrame], reference: str | None = None) -> pd.DataFrame:
    """The leaderboard over all tasks: one row per optimizer, in the order of rank and score.

    - `rank`: optimizers are ranked by how many others beat them significantly on paired seeds, that is, with a lower
      bound of `probability_of_improvement` above one half; optimizers that are equal share the better rank (`tied`)
    - `score`, `score_low`, `score_high`: the interquartile mean of the table `aggregate`, with its interval
    - `median_rank`: the median over tasks of the leaderboard's ranks
    - `wins`, `ties`, `losses`, `inconclusive`: the number of verdicts against the reference
    - `target_reached`: the mean share of seeds that reached the problem's target
    - `step_ratio`, `memory_ratio`: geometric means over tasks of the ratio to the reference, for the time per step,
      and for the peak memory of a step plus the optimizer's state
    - `failed_runs`, `failed_cells`, `audit`: the number of compared runs and cells that failed, and of audit findings

    Unknown values are missing.

    Args:
        tables: The result of `metrics.tables.all_tables`.
        reference: The optimizer to compare with; by default the one of the verdicts.
    """
    board = tables["leaderboard"]
    reference = reference or choose_reference(tables["cells"])
    names = sorted(str(name) for name in tables["cells"]["optimizer"].unique())
    scores = tables["aggregate"].astype({"optimizer": str}).set_index("optimizer")
    by_name = board.assign(optimizer=board["optimizer"].astype(str)).groupby("optimizer")
    medians = by_name["rank"].median().astype(float)
    table = order_overall(tables["probability_of_improvement"], scores["iqm"], medians, names)
    for end in ("low", "high"):
        table[f"score_{end}"] = table["optimizer"].map(scores[f"iqm_{end}"]).astype(float)
    names = list(table["optimizer"])
    verdicts = tables["verdicts"].assign(optimizer=tables["verdicts"]["optimizer"].astype(str))
    counts = verdicts[verdicts["reference"] == reference].groupby(["optimizer", "verdict"]).size()
    for column, verdict in (("wins", "win"), ("ties", "tie"), ("losses", "loss"), ("inconclusive", "inconclusive")):
        table[column] = [int(counts.get((name, verdict), 0)) if name != reference else None for name in names]
        table[column] = table[column].astype("Int64")
    table["target_reached"] = table["optimizer"].map(by_name["target_reached"].mean())
    for column, figure in (("step_ratio", "step_ms"), ("memory_ratio", "memory")):
        table[column] = table["optimizer"].map(_ratios(speeds(tables), figure, reference))
    table["failed_runs"] = table["optimizer"].map((board["n_runs"] - board["n_ok"]).groupby(board["optimizer"]).sum())
    table["failed_cells"] = table["optimizer"].map(by_name["status"].agg(lambda own: int(own.isin(FAILURES).sum())))
    table["audit"] = table["optimizer"].map(tables["audit"].groupby("optimizer", observed=True).size()).fillna(0)
    table = table.astype({"failed_runs": "Int64", "failed_cells": "Int64", "audit": "Int64"})
    table["tied"] = table["rank"].duplicated(keep=False) & table["rank"].notna()
    return table[COLUMNS]


def speeds(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per cell with the cost of a step: `step_ms`, and `memory` in bytes (see `standings`)."""
    runs = tables["runs"]
    known = runs[(runs["status"] == "ok").to_numpy()]
    bytes_ = known["peak_memory_bytes"].astype(float) + known["optimizer_state_bytes"].astype(float)
    memory = bytes_.groupby(known["cell_id"]).median()
    cells = tables["cells"].drop_duplicates("cell_id")
    step = cells["step_ms"].astype(float) if "step_ms" in cells else np.nan
    return cells[["cell_id", *GROUP, "optimizer"]].assign(step_ms=step, memory=cells["cell_id"].map(memory))


def _ratios(frame: pd.DataFrame, figure: str, reference: str) -> dict[Any, float]:
    """By optimizer, the geometric mean of the ratio to the reference over the tasks on which both are known."""
    wide = frame.pivot_table(index=GROUP, columns="optimizer", values=figure, aggfunc="first", observed=True)
    wide = wide.where(wide > 0)
    if reference not in wide:
        return {}
    logs = np.log(wide.div(wide[reference], axis=0))
    return {str(name): float(np.exp(value)) for name, value in logs.mean().items()}
