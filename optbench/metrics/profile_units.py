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
    at = _times(times, MEASURES[measure])
    known, at = times[~np.isnan(at)], at[~np.isnan(at)]
    optimizer, optimizers = pd.factorize(known["optimizer"].astype(object), sort=True)
    target, _ = pd.factorize(known["target_name"].astype(object))
    seed = known["seed"].to_numpy(dtype=np.int64)
    number = known.groupby(GROUP, observed=True, sort=True).ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    places: list[np.ndarray] = []
    medians: list[np.ndarray] = []
    strata = []
    count = 0
    for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1) if len(order) else []:
        (present, row), (aims, aim), (_, column) = (
            np.unique(values[rows], return_inverse=True) for values in (optimizer, target, seed)
        )
        cube = np.full((len(present), len(aims), column.max() + 1), np.nan)
        cube[row, aim, column] = at[rows]
        cube = cube[:, :, ~np.isnan(cube).any(axis=(0, 1))]
        if not cube.shape[2]:
            continue
        middle = np.full((len(optimizers), len(aims)), np.nan)
        middle[present] = np.median(cube, axis=2)
        medians.append(middle)
        # The first row of each target of the group stands for it.
        places.append(rows[[int(np.argmax(aim == index)) for index in range(len(aims))]])
        strata.append((present, count + np.arange(len(aims)), cube))
        count += len(aims)
    keys = known[[*GROUP, "target_name"]].iloc[np.concatenate(places) if places else []]
    return ProfileUnits(
        optimizers=[str(name) for name in optimizers],
        keys=keys.reset_index(drop=True),
        medians=np.concatenate(medians, axis=1) if medians else np.full((len(optimizers), 0), np.nan),
        strata=strata,
    )


def _times(times: pd.DataFrame, column: str) -> np.ndarray:
    """Infinite for a run that missed its target; NaN where it isn't known, or not when."""
    reached = times["reached"].to_numpy(dtype=float, na_value=np.nan)
    at = times[column].to_numpy(dtype=float, na_value=np.nan)
    return np.where(reached == 1, at, np.where(reached == 0, np.inf, np.nan))
