"""What profiles are made of: the median time to target of each optimizer on each unit, and resamples of it.

A unit is a target on a problem at a batch size, device and schedule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.metrics.compared import GROUP
from optbench.statistics.bootstrap import indices

#: What times are measured in, and the columns of `time_to_target` that hold it.
MEASURES = {"cost": "cost_to_target", "seconds": "seconds_to_target"}
#: Resamples are made so many at a time, so that memory does not grow with their number.
_CHUNK = 100


@dataclass(frozen=True)
class ProfileUnits:
    """Times of `optimizers` (rows) on the units of `keys` (a frame of group and target, columns).

    `medians` over seeds has shape (optimizers, units): infinite where half of the seeds missed the
    target, NaN where nothing is known. A group's seeds are those for which all of its optimizers have a time.
    """

    optimizers: list[str]
    keys: pd.DataFrame
    medians: np.ndarray
    #: By group: the places of its optimizers and units, and their times (optimizers, units, seeds).
    strata: list[tuple[np.ndarray, np.ndarray, np.ndarray]]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of resampling: the sum over groups of (seeds − 1)."""
        return sum(times.shape[2] - 1 for _, _, times in self.strata)

    def resampled(self, seed: int, resamples: int) -> Iterator[np.ndarray]:
        """Medians of resampled seeds, in chunks of shape (r, optimizers, units), `resamples` in all.

        Seeds are drawn with replacement within each group, the same for all of its optimizers and targets.
        """
        rng = np.random.default_rng(seed)
        for start in range(0, resamples, _CHUNK):
            rows = min(_CHUNK, resamples - start)
            chunk = np.full((rows, *self.medians.shape), np.nan)
            for optimizers, units, times in self.strata:
                drawn = times[:, :, indices(rng, times.shape[2], rows)]
                chunk[:, optimizers[:, None], units[None, :]] = np.moveaxis(np.median(drawn, axis=3), 2, 0)
            yield chunk


def profile_units(times: pd.DataFrame, measure: str = "cost") -> ProfileUnits:
    """The units of a frame of `time_to_target`, of runs that are compared; `measure` is one of `MEASURES`."""
    known = times.assign(
        optimizer=times["optimizer"].astype(object),
        time=_times(times, MEASURES[measure]),
    ).dropna(subset=["time"])
    optimizers = sorted(known["optimizer"].unique())
    keys: list[pd.DataFrame] = []
    medians: list[np.ndarray] = []
    strata = []
    count = 0
    for key, group in known.groupby(GROUP, observed=True, sort=True):
        names = group["target_name"].astype(object).unique()
        table = group.pivot_table(index="seed", columns=["target_name", "optimizer"], values="time", observed=True)
        present = sorted(group["optimizer"].unique())
        table = table.reindex(columns=pd.MultiIndex.from_product([names, present])).dropna()
        if table.empty:
            continue
        cube = table.to_numpy(dtype=float).reshape(len(table), len(names), len(present)).transpose(2, 1, 0)
        rows = np.array([optimizers.index(name) for name in present])
        middle = np.full((len(optimizers), len(names)), np.nan)
        middle[rows] = np.median(cube, axis=2)
        medians.append(middle)
        keys.append(pd.DataFrame({**dict(zip(GROUP, key, strict=True)), "target_name": names}))
        strata.append((rows, count + np.arange(len(names)), cube))
        count += len(names)
    empty = pd.DataFrame(columns=[*GROUP, "target_name"])
    return ProfileUnits(
        optimizers=[str(name) for name in optimizers],
        keys=pd.concat(keys, ignore_index=True) if keys else empty,
        medians=np.concatenate(medians, axis=1) if medians else np.full((len(optimizers), 0), np.nan),
        strata=strata,
    )


def _times(times: pd.DataFrame, column: str) -> np.ndarray:
    """Infinite for a run that missed its target; NaN where it isn't known, or not when."""
    reached = times["reached"].to_numpy(dtype=float, na_value=np.nan)
    at = times[column].to_numpy(dtype=float, na_value=np.nan)
    return np.where(reached == 1, at, np.where(reached == 0, np.inf, np.nan))
