"""Optimizers over all problems: interquartile mean of normalised scores, and mean ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.normalised import select_common_tasks
from optbench.statistics.bootstrap import (
    MIN_DEGREES_OF_FREEDOM,
    bootstrap_interval,
    degrees_of_freedom,
    interquartile_mean,
    resample,
)

COLUMNS = ["optimizer", "iqm", "iqm_low", "iqm_high", "mean_rank", "tasks", "problems", "seeds", "note"]


def aggregate(
    runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, seed: int = 0, resamples: int = 1000
) -> pd.DataFrame:
    """Returns one row per optimizer, the best interquartile mean first, over the tasks that all optimizers have run.

    `iqm` is the interquartile mean of the scores of `normalise_scores` over seeds and tasks. `iqm_low` and `iqm_high`
    are its bootstrap interval: seeds are resampled within each problem, the same ones for all optimizers and batch
    sizes. The interval is about other seeds on these problems, not about other problems. It is missing if there are too
    few seeds, or a problem has only one. `mean_rank` is the mean over tasks of the ranks of median test metrics on the
    same seeds; ties share their mean rank here, and the better rank in `summary`. `seeds` is the number of seeds of the
    problem with the fewest.

    Args:
        runs: Frame of runs (see `optbench.load`).
        curves: Frame of curves, for the metric at the start.
        cells: Frame of cells.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    common = select_common_tasks(runs, curves, cells)
    notes = [common.note]
    table = pd.DataFrame({"optimizer": common.optimizers}, columns=COLUMNS)
    table = table.astype(dict.fromkeys(["iqm", "iqm_low", "iqm_high", "mean_rank"], "float64"))
    if common.strata:
        estimate = _iqm([stratum[None] for stratum in common.strata])[0]
        samples = resample(common.strata, _iqm, seed, resamples)
        low, high = bootstrap_interval(samples, estimate, degrees_of_freedom(common.strata, kept=0.5))
        table = table.assign(iqm=estimate, iqm_low=low, iqm_high=high, mean_rank=common.ranks.mean().to_numpy())
        if np.isnan(low).all():
            notes.append(_explain_no_interval(common.strata))
    else:
        notes.append("no task that all optimizers have run")
    fewest = min((stratum.shape[-1] for stratum in common.strata), default=0)
    table = table.assign(
        tasks=len(common.ranks), problems=len(common.strata), seeds=fewest, note="; ".join(filter(None, notes))
    )
    return table.sort_values(["iqm", "optimizer"], ascending=[False, True], na_position="last", ignore_index=True)


def middle_scores(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Returns the interquartile mean by optimizer, as in `aggregate`, without its interval.

    Args:
        runs: Frame of runs.
        curves: Frame of curves.
        cells: Frame of cells.
    """
    common = select_common_tasks(runs, curves, cells)
    estimate = _iqm([stratum[None] for stratum in common.strata])[0] if common.strata else np.nan
    return pd.Series(estimate, index=common.optimizers, dtype=float)


def _explain_no_interval(strata: list[np.ndarray]) -> str:
    one = [stratum.shape[-1] for stratum in strata].count(1)
    if 0 < one < len(strata):
        return f"no interval (problems with only one seed: {one})"
    if degrees_of_freedom(strata, kept=0.5) < MIN_DEGREES_OF_FREEDOM:
        return "too few seeds for an interval"
    return "no interval, because all seeds have the same scores"


def _iqm(samples: list[np.ndarray]) -> np.ndarray:
    """Returns the interquartile mean of each resample and optimizer over all problems, tasks and seeds."""
    flat = [sample.reshape(*sample.shape[:2], -1) for sample in samples]
    return interquartile_mean(np.concatenate(flat, axis=-1))
