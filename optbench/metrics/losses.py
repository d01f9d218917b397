"""What seeds are compared by: one number a run, the lower the better, whatever metric is chosen.

A run that failed, or that has no finite value, counts as infinite: worse than every number. A run
that isn't there is missing, and is no failure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.errors import UserError, unknown
from optbench.metrics.compared import compared_runs, directions
from optbench.metrics.ranking import METRICS, higher_is_better
from optbench.results.stored import CELL, GROUP

#: Figures of a run that can't all agree to the last bit between two seeds, unless the seed has no effect.
_FINGERPRINT = ["train_loss", "valid_loss", "test_loss"]
#: Metrics are computed in single precision: values closer than this, relative to their size, are equal.
RESOLUTION = 1e-6
_NEEDED = [*CELL, "cell_id", "seed", "status", "tuned", *_FINGERPRINT]


def seed_losses(runs: pd.DataFrame, cells: pd.DataFrame, metric: str = "test_metric") -> pd.DataFrame:
    """One row a compared run (see `compared.compared_runs`): the columns of `CELL`, `seed`, `loss`, `copy_of`.

    `loss` is the column of `runs` that `metric` names, its sign turned where higher is better, and
    infinite for a failure; a problem without target has no rows for `…_to_target`, nor has a run that reached its
    target at an unknown time (seconds without timings): that is no failure. `copy_of` is the
    least seed of the cell whose losses are the same to the last bit: the seed itself, unless seeds have no effect.
    Raises UserError for an unknown metric or frames that lack a column.
    """
    known(metric)
    require(runs, "runs", [*_NEEDED, metric])
    require(cells, "cells", ["cell_id", *CELL, "trials", "metric_higher_is_better", "target"])
    runs = compared_runs(runs, cells)
    _refuse_namesakes(runs)
    if metric.endswith("_to_target"):
        aimed = cells.loc[cells["target"].notna(), "problem"].unique()
        runs = runs[runs["problem"].isin(aimed)]
        # Missed targets have no time, but so have met ones whose time isn't known.
        runs = runs[~(runs["target_reached"].fillna(False).astype(bool) & runs[metric].isna())]
    higher = {problem: higher_is_better(metric, bool(flag)) for problem, flag in directions(cells).items()}
    sign = np.where(runs["problem"].astype(object).map(higher).fillna(False).astype(bool), -1.0, 1.0)
    value = pd.to_numeric(runs[metric]).to_numpy(dtype=float, na_value=np.nan)
    done = (runs["status"] == "ok").to_numpy() & np.isfinite(value)
    frame = runs[[*CELL, "seed"]].assign(
        loss=np.where(done, sign * value, np.inf), copy_of=_least_equal_seed(runs).to_numpy()
    )
    return frame.sort_values([*CELL, "seed"], ignore_index=True)


def known(metric: str) -> None:
    """Raises UserError unless this is one of `metrics.METRICS`."""
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)


def require(frame: pd.DataFrame, name: str, columns: list[str]) -> None:
    """Raises UserError where a frame lacks columns, as one of another schema version does."""
    missing = [column for column in columns if column not in frame]
    if missing:
        raise UserError(
            f"the frame {name} has no column {missing[0]!r} (needed: {', '.join(columns)}); is it of another "
            "schema version, or merged from several?"
        )


def _refuse_namesakes(runs: pd.DataFrame) -> None:
    """Raises UserError where one optimizer's name stands for several cells of a group."""
    several = runs.groupby(CELL, observed=True)["cell_id"].nunique()
    if (several > 1).any():
        *group, name = several.index[several > 1][0]
        raise UserError(
            f"optimizer {name!r} stands for several cells of {group[0]} at batch size {group[1]}; give them "
            "different names, as `optbench compare` does"
        )


def _least_equal_seed(runs: pd.DataFrame) -> pd.Series:
    """By run, the least seed of its cell with the same finite losses; its own where there is no other."""
    finite = np.isfinite(runs[_FINGERPRINT].to_numpy(dtype=float, na_value=np.nan)).all(axis=1)
    known = (runs["status"] == "ok") & np.asarray(finite)
    least = runs[known].groupby(["cell_id", *_FINGERPRINT], observed=True, sort=False)["seed"].transform("min")
    return runs["seed"].astype("int64").where(~known, least.reindex(runs.index)).astype("int64")


def medians(losses: pd.DataFrame) -> pd.DataFrame:
    """The median loss of each cell, columns `CELL` and `loss`; infinite where half of the seeds failed."""
    with np.errstate(invalid="ignore"):
        return losses.groupby(CELL, observed=True, sort=True)["loss"].median().fillna(np.inf).reset_index()


def task_ranks(losses: pd.DataFrame) -> pd.DataFrame:
    """The rank of each optimizer's median loss within its `GROUP`, ties sharing their mean; columns
    `CELL`, `loss`, `rank`.
    """
    frame = medians(losses)
    frame["rank"] = frame.groupby(GROUP, observed=True)["loss"].rank(method="average")
    return frame


def tasks(losses: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]]:
    """For each `GROUP` its values and two frames, seed by optimizer: the losses, and which seed each copies."""
    found = []
    for values, part in losses.groupby(GROUP, observed=True, sort=True):
        seeds, row = np.unique(part["seed"].to_numpy(), return_inverse=True)
        names, column = np.unique(part["optimizer"].to_numpy(dtype=object), return_inverse=True)
        loss, copy_of = np.full((2, len(seeds), len(names)), np.nan)
        loss[row, column], copy_of[row, column] = part["loss"], part["copy_of"]
        group: dict[str, Any] = dict(zip(GROUP, values, strict=True))
        found.append((group, pd.DataFrame(loss, seeds, names), pd.DataFrame(copy_of, seeds, names)))
    return found


def logarithmic(losses: np.ndarray) -> bool:
    """Whether losses are compared by their ratio: all that are finite are positive or zero.

    A metric of which more is better is negative here, and compared by differences.
    """
    finite = losses[np.isfinite(losses)]
    return bool(len(finite)) and bool((finite >= 0).all())


def advantage(loss: np.ndarray, other: np.ndarray, ratio: bool) -> np.ndarray:
    """How much better `loss` is than `other`: log(other/loss), or other − loss unless `ratio`.

    Infinite where exactly one of the two is a failure, or exactly one is zero on the ratio's scale; zero for equals
    (see `RESOLUTION`).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.log(other) - np.log(loss) if ratio else other - loss
    return np.where(equal(loss, other), 0.0, difference)


def equal(loss: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether losses are the same number, but for the rounding of single precision; two failures are."""
    return np.isclose(loss, other, rtol=RESOLUTION, atol=0.0)
