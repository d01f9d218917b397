"""The input of profiles: the median time to target of each optimizer on each unit, and resamples of it.

A unit is a target on a problem at a batch size, device and schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.results.stored import GROUP
from optbench.statistics.bootstrap import degrees_of_freedom, draw_indices

#: Measures of time, and the columns of `time_to_target` that hold them.
MEASURES = {"cost": "cost_to_target", "seconds": "seconds_to_target"}
#: Number of resamples per chunk, so that memory does not grow with the number of resamples.
_CHUNK = 100


@dataclass(frozen=True)
class Pool:
    """Optimizers that are compared with each other, on the units and seeds that all of them have.

    `medians` over these seeds has shape (optimizers, units). It is infinite if half of the seeds missed the target, and
    NaN for units of which the optimizers have no seed in common.
    """

    optimizers: list[str]
    medians: np.ndarray
    #: For each common task: the indices of its units, their times (optimizers, units, seeds), and the bounds of the
    #: errors that all seeds of an optimizer have in common (optimizers, 2), as logarithms.
    strata: list[tuple[np.ndarray, np.ndarray, np.ndarray]]

    @property
    def has_all(self) -> np.ndarray:
        """Whether all optimizers have a time for each unit, of shape (units,)."""
        return ~np.isnan(self.medians).any(axis=0) if self.optimizers else np.zeros(self.medians.shape[1], dtype=bool)

    @property
    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of the bootstrap (see `statistics.bootstrap`); 0 if an error is unknown."""
        if any(np.isnan(errors).any() for _, _, errors in self.strata):
            return 0.0
        return degrees_of_freedom([times for _, times, _ in self.strata])

    def resample(self, seed: int, resamples: int) -> Iterator[np.ndarray]:
        """Yields medians of resampled seeds in chunks of shape (r, optimizers, common units), `resamples` in all.

        Seeds are drawn with replacement within each task, the same ones for all of its optimizers and targets. The
        error of an optimizer's times is drawn uniformly between its bounds, the same for all targets of a task.

        Args:
            seed: Seed of the random draws.
            resamples: Number of resamples.
        """
        rng = np.random.default_rng(seed)
        place = np.cumsum(self.has_all) - 1
        # Strata with the same number of seeds are stacked: separate calls would take longer than the medians.
        counts = [times.shape[2] for _, times, _ in self.strata]
        together = []
        for count in dict.fromkeys(counts):
            alike = [index for index, own in enumerate(counts) if own == count]
            units = np.concatenate([place[self.strata[index][0]] for index in alike])
            times = np.concatenate([self.strata[index][1] for index in alike], axis=1)
            together.append((units, times, np.repeat(alike, [self.strata[index][1].shape[1] for index in alike])))
        for start in range(0, resamples, _CHUNK):
            rows = min(_CHUNK, resamples - start)
            chunk = np.full((rows, len(self.optimizers), int(self.has_all.sum())), np.nan)
            chosen, factors = [], []
            for _, times, errors in self.strata:
                chosen.append(draw_indices(rng, times.shape[2], rows))
                low, high = np.nan_to_num(errors).T
                factors.append(np.exp(rng.uniform(low, high, (rows, len(low)))) if errors.any() else None)
            for units, times, strata in together:
                seeds = np.stack([chosen[index] for index in strata])
                medians = np.median(np.take_along_axis(times[:, :, None], seeds[None], axis=3), axis=3)
                chunk[:, :, units] = np.moveaxis(medians, 2, 0)
            for (units, _, _), factor in zip(self.strata, factors, strict=True):
                if factor is not None:
                    chunk[:, :, place[units]] *= factor[:, :, None]
            yield chunk


@dataclass(frozen=True)
class ProfileUnits:
    """Times of all `optimizers` on all units; `keys` is a frame of the units' tasks and targets."""

    optimizers: list[str]
    keys: pd.DataFrame
    #: For each task: the indices of its optimizers and units, their times (optimizers, units, seeds), NaN if unknown,
    #: and the bounds of the errors that all seeds of an optimizer have in common (optimizers, 2).
    groups: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]

    def pool(self, names: Sequence[str] | None = None) -> Pool:
        """Returns the pool of these optimizers (default: all). Other optimizers do not affect which seeds count."""
        names = self.optimizers if names is None else list(names)
        chosen = np.array([self.optimizers.index(name) for name in names], dtype=np.int64)
        medians = np.full((len(names), len(self.keys)), np.nan)
        strata = []
        for present, units, times, errors in self.groups:
            rows = np.searchsorted(present, chosen)
            if not len(names) or np.any(present[np.minimum(rows, len(present) - 1)] != chosen):
                continue
            own = times[rows]
            own = own[:, :, ~np.isnan(own).any(axis=(0, 1))]
            if own.shape[2]:
                medians[:, units] = np.median(own, axis=2)
                strata.append((units, own, errors[rows]))
        return Pool(names, medians, strata)


def profile_units(times: pd.DataFrame, measure: str = "cost") -> ProfileUnits:
    """Arranges the times of `time_to_target` by unit.

    Args:
        times: The frame of `time_to_target`, for the runs that are compared. Optional columns are `timing_low` and
            `timing_high`, the bounds of a cell's common error of seconds, and `timed`, whether a cell has seconds at
            all. Seconds of a cell without timings are unknown even for a miss; otherwise it could only lose.
        measure: One of `MEASURES`.
    """
    at = _times(times, MEASURES[measure])
    if measure == "seconds" and "timed" in times:
        at = np.where(times["timed"].to_numpy(dtype=bool), at, np.nan)
    off = _errors(times, measure)[~np.isnan(at)]
    known, at = times[~np.isnan(at)], at[~np.isnan(at)]
    optimizer, optimizers = pd.factorize(known["optimizer"].astype(object), sort=True)
    target, _ = pd.factorize(known["target_name"].astype(object))
    seed = known["seed"].to_numpy(dtype=np.int64)
    number = known.groupby(GROUP, observed=True, sort=True).ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    places: list[np.ndarray] = []
    groups = []
    count = 0
    for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1) if len(order) else []:
        (present, row), (aims, aim), (_, column) = (
            np.unique(values[rows], return_inverse=True) for values in (optimizer, target, seed)
        )
        cube = np.full((len(present), len(aims), column.max() + 1), np.nan)
        cube[row, aim, column] = at[rows]
        # The first row of each target gives its key.
        places.append(rows[[int(np.argmax(aim == index)) for index in range(len(aims))]])
        error = np.zeros((len(present), 2))
        error[row] = off[rows]  # the same in all rows of a cell
        groups.append((present, count + np.arange(len(aims)), cube, error))
        count += len(aims)
    keys = known[[*GROUP, "target_name"]].iloc[np.concatenate(places) if places else []]
    return ProfileUnits([str(name) for name in optimizers], keys.reset_index(drop=True), groups)


def _times(times: pd.DataFrame, column: str) -> np.ndarray:
    """Returns times that are infinite for a run that missed its target, and NaN if it is unknown whether or when."""
    reached = times["reached"].to_numpy(dtype=float, na_value=np.nan)
    at = times[column].to_numpy(dtype=float, na_value=np.nan)
    return np.where(reached == 1, at, np.where(reached == 0, np.inf, np.nan))


def _errors(times: pd.DataFrame, measure: str) -> np.ndarray:
    """Returns the bounds of the error that all seeds of a row's cell have in common, as logarithms (rows, 2)."""
    if measure != "seconds" or "timing_low" not in times:
        return np.zeros((len(times), 2))
    return times[["timing_low", "timing_high"]].to_numpy(dtype=float)
