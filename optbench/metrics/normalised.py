"""Scores that can be compared across problems: how much of the way from the start to the target was made.

    score = (start − value)/(start − target), in logarithms where the metric is positive and lower is better

Start and target belong to the problem: an untrained network, and the target in the cell's identity. No
run that is compared has a part in them, so that leaving an optimizer out changes no other's score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.metrics.losses import medians, require, seed_losses
from optbench.results.stored import CELL, GROUP

#: Scores are limited to this range: a run that failed or ends worse than it started has made none of the
#: way, and none counts for more than twice the way.
FLOOR, CEILING = 0.0, 2.0


def normalised(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a compared run: the columns of `CELL`, `seed`, `score` of its test metric, between `FLOOR` and
    `CEILING`; missing on problems without a target, or of which no evaluation at the start is known.
    """
    require(curves, "curves", ["problem", "step", "kind", "valid_metric"])
    losses = seed_losses(runs, cells)
    ends = _ends(curves, cells)
    start, target = (losses["problem"].map(ends[name]).to_numpy(dtype=float) for name in ("start", "target"))
    sign = losses["problem"].map(ends["sign"]).to_numpy(dtype=float)
    loss, start, target = losses["loss"].to_numpy(dtype=float), sign * start, sign * target
    ratio = (sign > 0) & (start > 0) & (target > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        start, target, way = (
            np.where(ratio, np.log(np.where(ratio, np.maximum(value, 0), 1)), value) for value in (start, target, loss)
        )
        score = (start - way) / (start - target)
    # A metric of zero has gone all the way there is on a logarithmic scale; a failure none of it.
    score = np.where(np.isinf(loss), FLOOR, np.where(np.isinf(way), CEILING, score))
    usable = np.isfinite(start) & np.isfinite(target) & (target < start)
    score = np.where(usable, np.clip(score, FLOOR, CEILING), np.nan)
    return losses[[*CELL, "seed"]].assign(score=score)


def _ends(curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """By problem the metric at the start (the median over its trainings), the target, and the sign of a loss."""
    first = curves[(curves["step"] == 0).to_numpy()]
    start = pd.to_numeric(first["valid_metric"]).groupby(first["problem"], observed=True).median()
    about = cells.groupby("problem", observed=True).agg(
        target=("target", "first"), higher=("metric_higher_is_better", "all")
    )
    frame = about.join(start.rename("start"))
    return frame.assign(sign=np.where(frame["higher"].astype(bool), -1.0, 1.0)).astype({"target": float})


@dataclass(frozen=True)
class Common:
    """What all optimizers have run: their names; the scores of each problem, of shape (optimizers, tasks,
    seeds); the ranks of their median losses, a frame task by optimizer; and what was left out, as a sentence.
    """

    optimizers: list[str]
    strata: list[np.ndarray]
    ranks: pd.DataFrame
    note: str


def common_tasks(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> Common:
    """The tasks (see `GROUP`) and seeds on which every optimizer that has run at all has a `normalised` score."""
    losses, scores = seed_losses(runs, cells), normalised(runs, curves, cells)
    names = sorted(str(name) for name in losses["optimizer"].unique())
    strata: list[np.ndarray] = []
    kept: list[pd.DataFrame] = []
    notes, incomplete = [], 0
    for problem, part in scores.groupby("problem", observed=True, sort=True):
        if part["score"].isna().all():
            notes.append(f"{problem} has no target, no evaluation at the start, or a start that meets the target")
            continue
        wide = part.pivot(index=GROUP, columns=["optimizer", "seed"], values="score")
        # Task by optimizer by seed; a task that an optimizer hasn't run would otherwise cost all seeds.
        blocks = {name: pd.DataFrame(wide[name]) if name in wide else wide.iloc[:, :0] for name in names}
        run = np.all([block.notna().to_numpy().any(axis=1) for block in blocks.values()], axis=0)
        incomplete += int((~run).sum())
        whole = [set(block.columns[block[run].notna().all()]) for block in blocks.values()]
        seeds = sorted(set.intersection(*whole)) if run.any() else []
        if not seeds:
            notes.append(f"{problem} has no seed that all optimizers have run")
            continue
        strata.append(np.stack([block.loc[run, seeds].to_numpy(dtype=float) for block in blocks.values()]))
        kept.append(losses[(losses["problem"] == problem) & losses["seed"].isin(seeds)].merge(
            wide.index[run].to_frame(index=False), on=GROUP))  # fmt: skip
    if incomplete:
        notes.append(f"{incomplete} of {losses[GROUP].drop_duplicates().shape[0]} tasks lack an optimizer's runs")
    # Of the same seeds as the scores: medians over unlike seeds are no fair ranks.
    middle = medians(pd.concat(kept) if kept else losses.iloc[:0])
    ranks = middle.pivot(index=GROUP, columns="optimizer", values="loss").reindex(columns=names).rank(axis=1)
    return Common(names, strata, ranks, "; ".join(notes))
