"""Optimizers over all problems together: the interquartile mean of normalised scores, and mean ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.normalised import common_tasks
from optbench.statistics.bootstrap import FEWEST_FREEDOM, freedom, interquartile_mean, interval, resampled

COLUMNS = ["optimizer", "iqm", "iqm_low", "iqm_high", "mean_rank", "tasks", "problems", "seeds", "note"]


def aggregate(
    runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, seed: int = 0, resamples: int = 1000
) -> pd.DataFrame:
    """One row an optimizer, the best interquartile mean first, over the tasks that all optimizers have run.

    `iqm` is the interquartile mean of `normalised` scores over seeds and tasks; `iqm_low` and `iqm_high` are
    its bootstrap interval: seeds resampled within each problem, the same ones for all optimizers and batch sizes. It
    speaks of other seeds on these problems, not of other problems, and is missing where there are
    too few seeds, or a problem has but one. `mean_rank` is over tasks, by the median test metric over the same seeds.
    `seeds` are those of the problem that
    has the fewest.
    """
    common = common_tasks(runs, curves, cells)
    notes = [common.note]
    table = pd.DataFrame({"optimizer": common.optimizers}, columns=COLUMNS)
    table = table.astype(dict.fromkeys(["iqm", "iqm_low", "iqm_high", "mean_rank"], "float64"))
    if common.strata:
        estimate = _iqm([stratum[None] for stratum in common.strata])[0]
        drawn = resampled(common.strata, _iqm, seed, resamples)
        low, high = interval(drawn, estimate, freedom(common.strata, kept=0.5))
        table = table.assign(iqm=estimate, iqm_low=low, iqm_high=high, mean_rank=common.ranks.mean().to_numpy())
        if np.isnan(low).all():
            notes.append(_why_no_interval(common.strata))
    else:
        notes.append("no task that all optimizers have run")
    fewest = min((stratum.shape[-1] for stratum in common.strata), default=0)
    table = table.assign(
        tasks=len(common.ranks), problems=len(common.strata), seeds=fewest, note="; ".join(filter(None, notes))
    )
    return table.sort_values(["iqm", "optimizer"], ascending=[False, True], na_position="last", ignore_index=True)


def _why_no_interval(strata: list[np.ndarray]) -> str:
    one = [stratum.shape[-1] for stratum in strata].count(1)
    if 0 < one < len(strata):
        return f"no interval, since of {one} of the problems there is one seed"
    if freedom(strata, kept=0.5) < FEWEST_FREEDOM:
        return "too few seeds for an interval"
    return "no interval, since no two seeds differ in their scores"


def _iqm(samples: list[np.ndarray]) -> np.ndarray:
    """The interquartile mean of each resample and optimizer over all problems, tasks and seeds."""
    flat = [sample.reshape(*sample.shape[:2], -1) for sample in samples]
    return interquartile_mean(np.concatenate(flat, axis=-1))
