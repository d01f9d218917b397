"""One loss per run for comparisons between seeds, lower being better for every metric.

A run that failed or has no finite value counts as infinite, worse than every number. A run that does not exist is
missing, which is not a failure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.errors import UserError, unknown
from optbench.metrics.compared import FINGERPRINT, directions, find_copies, merge_ties, select_runs
from optbench.metrics.ranking import METRICS, higher_is_better
from optbench.results.stored import CELL, GROUP
from optbench.statistics.equality import are_equal

_NEEDED = [*CELL, "cell_id", "seed", "status", "tuned", *FINGERPRINT]


def seed_losses(runs: pd.DataFrame, cells: pd.DataFrame, metric: str = "test_metric") -> pd.DataFrame:
    """Returns one row per compared run (see `compared.select_runs`): the columns of `CELL`, `seed`, `loss`, `copy_of`.

    `loss` is the column `metric`, negated if higher is better, and infinite for a failure. `copy_of` is the smallest
    seed of the cell whose losses are equal: the seed itself, unless seeds have no effect (see `compared.find_copies`).
    For `…_to_target`, problems without a target have no rows, and neither have runs that reached their target at an
    unknown time (seconds without timings), which is not a failure.

    Args:
        runs: Frame of runs.
        cells: Frame of cells.
        metric: One of `metrics.METRICS`.

    Raises:
        UserError: The metric is unknown, a frame lacks a column, or an optimizer name stands for several cells of a
            task.
    """
    check_metric(metric)
    require_columns(runs, "runs", [*_NEEDED, metric])
    require_columns(cells, "cells", ["cell_id", *CELL, "trials", "metric_higher_is_better", "target"])
    runs = select_runs(runs, cells)
    _refuse_namesakes(runs)
    if metric.endswith("_to_target"):
        aimed = cells.loc[cells["target"].notna(), "problem"].unique()
        runs = runs[runs["problem"].isin(aimed)]
        # Runs that reached their target at an unknown time look like misses and are dropped.
        runs = runs[~(runs["target_reached"].fillna(False).astype(bool) & runs[metric].isna())]
    higher = {problem: higher_is_better(metric, bool(flag)) for problem, flag in directions(cells).items()}
    sign = np.where(runs["problem"].astype(object).map(higher).fillna(False).astype(bool), -1.0, 1.0)
    value = pd.to_numeric(runs[metric]).to_numpy(dtype=float, na_value=np.nan)
    done = (runs["status"] == "ok").to_numpy() & np.isfinite(value)
    frame = runs[[*CELL, "seed"]].assign(
        loss=np.where(done, sign * value, np.inf), copy_of=find_copies(runs).to_numpy()
    )
    return frame.sort_values([*CELL, "seed"], ignore_index=True)


def check_metric(metric: str) -> None:
    """Raises UserError unless `metric` is one of `metrics.METRICS`."""
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)


def require_columns(frame: pd.DataFrame, name: str, columns: list[str]) -> None:
    """Raises UserError if the frame called `name` lacks one of the columns."""
    missing = [column for column in columns if column not in frame]
    if missing:
        raise UserError(
            f"the frame {name} has no column {missing[0]!r} (required: {', '.join(columns)}); does it have another "
            "schema version, or was it merged from several frames?"
        )


def _refuse_namesakes(runs: pd.DataFrame) -> None:
    """Raises UserError if one optimizer name stands for several cells of a task."""
    several = runs.groupby(CELL, observed=True)["cell_id"].nunique()
    if (several > 1).any():
        *group, name = several.index[several > 1][0]
        raise UserError(
            f"optimizer {name!r} stands for several cells of {group[0]} at batch size {group[1]}; give them "
            "different names, as `optbench compare` does"
        )


def medians(losses: pd.DataFrame) -> pd.DataFrame:
    """Returns the median loss of each cell, columns `CELL` and `loss`; infinite if half of the seeds failed.

    Seeds that copy another one are not observations of their own, and are left out.
    """
    losses = losses.drop_duplicates([*CELL, "copy_of"])
    with np.errstate(invalid="ignore"):
        return losses.groupby(CELL, observed=True, sort=True)["loss"].median().fillna(np.inf).reset_index()


def task_ranks(losses: pd.DataFrame) -> pd.DataFrame:
    """Returns the rank of each optimizer's median loss within its task, columns `CELL`, `loss`, `rank`.

    Ties share their mean rank.
    """
    frame = medians(losses)
    by = [frame[name] for name in GROUP]
    frame["rank"] = merge_ties(frame["loss"], by).groupby(by, observed=True).rank(method="average")
    return frame


def tasks(losses: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]]:
    """Splits losses by task.

    Args:
        losses: The frame of `seed_losses`.

    Returns:
        For each task, its `GROUP` values and two frames, seeds by optimizers: the losses, and the seed that each
        copies.
    """
    parts = []
    for values, part in losses.groupby(GROUP, observed=True, sort=True):
        seeds, row = np.unique(part["seed"].to_numpy(), return_inverse=True)
        names, column = np.unique(part["optimizer"].to_numpy(dtype=object), return_inverse=True)
        loss, copy_of = np.full((2, len(seeds), len(names)), np.nan)
        loss[row, column], copy_of[row, column] = part["loss"], part["copy_of"]
        group: dict[str, Any] = dict(zip(GROUP, values, strict=True))
        parts.append((group, pd.DataFrame(loss, seeds, names), pd.DataFrame(copy_of, seeds, names)))
    return parts


def uses_ratios(losses: np.ndarray) -> bool:
    """Whether values of which lower is better are compared by ratios rather than differences: all are at least zero.

    Metrics of which higher is better are always compared by differences: a ratio of two R² means nothing.

    Args:
        losses: Values of a metric of which lower is better; infinite ones are ignored.
    """
    finite = losses[np.isfinite(losses)]
    return bool(len(finite)) and bool((finite >= 0).all())


def advantage(loss: np.ndarray, other: np.ndarray, ratio: bool) -> np.ndarray:
    """Returns by how much `loss` is better than `other`: log(other/loss), or other − loss.

    It is infinite if exactly one of the two is a failure (or, for ratios, zero), and 0 if both are equal (see
    `statistics.equality`).

    Args:
        loss: Losses of shape (n,).
        other: Losses of another optimizer on the same seeds, of shape (n,).
        ratio: Whether to compare by ratios.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.log(other) - np.log(loss) if ratio else other - loss
    return np.where(are_equal(loss, other), 0.0, difference)
