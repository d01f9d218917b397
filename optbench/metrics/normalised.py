"""Scores that are comparable across problems: progress from the start to the target.

    score = (start − value)/(start − target), in logarithms if the metric is positive and lower is better

Start and target belong to the problem (an untrained network, and the target in the cell's identity). Scores do not
depend on the other runs, so leaving an optimizer out changes no score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.metrics.losses import medians, require_columns, seed_losses
from optbench.results.stored import CELL, GROUP
from optbench.statistics.equality import merge_equal

#: Scores are limited to this range: a run that failed or ends worse than its start scores 0, and no run scores more
#: than 2.
FLOOR, CEILING = 0.0, 2.0


def normalise_scores(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per compared run: the columns of `CELL`, `seed`, and `score` of its test metric.

    Scores lie between `FLOOR` and `CEILING`. They are missing on problems without a target or without an evaluation at
    the start.

    Args:
        runs: Frame of runs.
        curves: Frame of curves, for the metric at the start.
        cells: Frame of cells.

    Raises:
        UserError: A frame lacks a column.
    """
    require_columns(curves, "curves", ["problem", "step", "kind", "valid_metric"])
    losses = seed_losses(runs, cells)
    scales = _problem_scales(curves, cells)
    start, target = (losses["problem"].map(scales[name]).to_numpy(dtype=float) for name in ("start", "target"))
    sign = losses["problem"].map(scales["sign"]).to_numpy(dtype=float)
    loss, start, target = losses["loss"].to_numpy(dtype=float), sign * start, sign * target
    ratio = (sign > 0) & (start > 0) & (target > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        start, target, way = (
            np.where(ratio, np.log(np.where(ratio, np.maximum(value, 0), 1)), value) for value in (start, target, loss)
        )
        score = (start - way) / (start - target)
    # On a logarithmic scale, a metric of zero gets the highest score; a failure gets the lowest.
    score = np.where(np.isinf(loss), FLOOR, np.where(np.isinf(way), CEILING, score))
    usable = np.isfinite(start) & np.isfinite(target) & (target < start)
    score = np.where(usable, np.clip(score, FLOOR, CEILING), np.nan)
    return losses[[*CELL, "seed"]].assign(score=score)


def _problem_scales(curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns by problem the start (median over its trainings), the target, and the sign that makes lower better."""
    first = curves[(curves["step"] == 0).to_numpy()]
    start = pd.to_numeric(first["valid_metric"]).groupby(first["problem"], observed=True).median()
    about = cells.groupby("problem", observed=True).agg(
        target=("target", "first"), higher=("metric_higher_is_better", "all")
    )
    frame = about.join(start.rename("start"))
    return frame.assign(sign=np.where(frame["higher"].astype(bool), -1.0, 1.0)).astype({"target": float})


@dataclass(frozen=True)
class CommonTasks:
    """Scores on the tasks and seeds that all optimizers have run.

    `optimizers` are their names. `strata` has an array of scores per problem, of shape (optimizers, tasks, seeds).
    `ranks` is a frame of the ranks of median losses, tasks by optimizers. `note` says what was left out.
    """

    optimizers: list[str]
    strata: list[np.ndarray]
    ranks: pd.DataFrame
    note: str


def select_common_tasks(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> CommonTasks:
    """Selects the tasks and seeds on which every optimizer with any run has a score.

    Args:
        runs: Frame of runs.
        curves: Frame of curves.
        cells: Frame of cells.
    """
    losses, scores = seed_losses(runs, cells), normalise_scores(runs, curves, cells)
    names = sorted(str(name) for name in losses["optimizer"].unique())
    strata: list[np.ndarray] = []
    kept: list[pd.DataFrame] = []
    notes, incomplete = [], 0
    for problem, part in scores.groupby("problem", observed=True, sort=True):
        if part["score"].isna().all():
            notes.append(f"{problem} has no target, no evaluation at the start, or a start that meets the target")
            continue
        wide = part.pivot(index=GROUP, columns=["optimizer", "seed"], values="score")
        # Incomplete tasks are dropped first; otherwise they would make all seeds incomplete.
        blocks = {name: pd.DataFrame(wide[name]) if name in wide else wide.iloc[:, :0] for name in names}
        complete = np.all([block.notna().to_numpy().any(axis=1) for block in blocks.values()], axis=0)
        incomplete += int((~complete).sum())
        whole = [set(block.columns[block[complete].notna().all()]) for block in blocks.values()]
        seeds = sorted(set.intersection(*whole)) if complete.any() else []
        if not seeds:
            notes.append(f"{problem} has no seed that all optimizers have run")
            continue
        strata.append(np.stack([block.loc[complete, seeds].to_numpy(dtype=float) for block in blocks.values()]))
        kept.append(losses[(losses["problem"] == problem) & losses["seed"].isin(seeds)].merge(
            wide.index[complete].to_frame(index=False), on=GROUP))  # fmt: skip
    if incomplete:
        notes.append(f"{incomplete} of {losses[GROUP].drop_duplicates().shape[0]} tasks are not run by all optimizers")
    # On the seeds of the scores: medians over different seeds would not give fair ranks.
    middle = medians(pd.concat(kept) if kept else losses.iloc[:0])
    wide = middle.pivot(index=GROUP, columns="optimizer", values="loss").reindex(columns=names)
    merged = [merge_equal(row) for row in wide.to_numpy(dtype=float)]
    ranks = pd.DataFrame(merged, wide.index, wide.columns).rank(axis=1)
    return CommonTasks(names, strata, ranks, "; ".join(notes))
