"""Profiles of two optimizers at a time: a third one can't change who of the two comes out ahead."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from optbench.metrics.profile_units import MEASURES, profile_units
from optbench.statistics.bootstrap import interval
from optbench.statistics.profiles import area

_COLUMNS = ["measure", "a", "b", "units", "a_faster", "b_faster", "neither", "area_a", "area_b", "difference",
            "difference_low", "difference_high"]  # fmt: skip


def pairwise_profile(times: pd.DataFrame, seed: int = 0, resamples: int = 1000) -> pd.DataFrame:
    """For each two optimizers the areas under their profiles in a pool of just the two, one row a pair.

    In a larger pool the order of two can turn on whether a third is in it (Gould and Scott 2016). `units`
    are those that both were run on; `a_faster`, `b_faster` and `neither` the shares of them that one of the
    two solves faster, and that neither solves. `difference` is area a − area b, its bounds from
    resampling seeds, the same for both. `times` as of `performance_profile`.
    """
    frames = [_pairs(times, measure, seed, resamples) for measure in MEASURES]
    return pd.concat(frames, ignore_index=True)


def _pairs(times: pd.DataFrame, measure: str, seed: int, resamples: int) -> pd.DataFrame:
    units = profile_units(times, measure)
    known = ~np.isnan(units.medians)
    pairs = list(combinations(range(len(units.optimizers)), 2))
    both = [np.flatnonzero(known[a] & known[b]) for a, b in pairs]
    samples = np.full((resamples, len(pairs)), np.nan)
    start = 0
    for chunk in units.resampled(seed, resamples):
        for column, ((a, b), shared) in enumerate(zip(pairs, both, strict=True)):
            if len(shared):
                areas = area(chunk[:, [a, b]][:, :, shared])
                samples[start : start + len(chunk), column] = areas[:, 0] - areas[:, 1]
        start += len(chunk)
    rows = []
    for column, ((a, b), shared) in enumerate(zip(pairs, both, strict=True)):
        row = {"measure": measure, "a": units.optimizers[a], "b": units.optimizers[b], "units": len(shared)}
        if len(shared):
            of_a, of_b = units.medians[a, shared], units.medians[b, shared]
            area_a, area_b = area(np.stack([of_a, of_b]))
            freedom = _freedom(units.strata, a, b)
            low, high = interval(samples[:, column], area_a - area_b, freedom)
            row |= {
                "a_faster": (of_a < of_b).mean(), "b_faster": (of_b < of_a).mean(),
                "neither": (np.isinf(of_a) & np.isinf(of_b)).mean(), "area_a": area_a, "area_b": area_b,
                "difference": area_a - area_b, "difference_low": max(float(low), -1.0),
                "difference_high": min(float(high), 1.0),
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _freedom(strata: list[tuple[np.ndarray, np.ndarray, np.ndarray]], a: int, b: int) -> int:
    """Degrees of freedom in the groups that both optimizers were run on."""
    return sum(times.shape[2] - 1 for rows, _, times in strata if {a, b} <= set(rows.tolist()))
