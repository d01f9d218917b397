"""Profiles of two optimizers at a time: a third one can't change who of the two comes out ahead."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from optbench.metrics.profile_units import MEASURES, profile_units
from optbench.statistics.bootstrap import interval
from optbench.statistics.profiles import area

_COLUMNS = ["measure", "a", "b", "units", "a_faster", "b_faster", "neither", "area_a", "area_b", "difference",
            "difference_low", "difference_high", "units_left_out"]  # fmt: skip


def pairwise_profile(times: pd.DataFrame, seed: int = 0, resamples: int = 1000) -> pd.DataFrame:
    """For each two optimizers the areas under their profiles in a pool of just the two, one row a pair.

    In a larger pool the order of two can turn on whether a third is in it (Gould and Scott 2016). `units`
    are those of which both have a seed (`units_left_out` the others), which is all that decides which seeds
    count; `a_faster`, `b_faster` and `neither` the shares of them that one of the two solves faster, and that
    neither solves. `difference` is area a − area b, its bounds from
    resampling seeds, the same for both. `times` as of `performance_profile`.
    """
    frames = [_pairs(times, measure, seed, resamples) for measure in MEASURES]
    return pd.concat(frames, ignore_index=True)


def _pairs(times: pd.DataFrame, measure: str, seed: int, resamples: int) -> pd.DataFrame:
    units = profile_units(times, measure)
    rows = []
    for a, b in combinations(units.optimizers, 2):
        pool = units.pool([a, b])
        row = {"measure": measure, "a": a, "b": b, "units": int(pool.shared.sum()),
               "units_left_out": int((~pool.shared).sum())}  # fmt: skip
        if pool.shared.any():
            of_a, of_b = medians = pool.medians[:, pool.shared]
            area_a, area_b = area(medians)
            areas = np.concatenate([area(chunk) for chunk in pool.resampled(seed, resamples)])
            low, high = interval(areas[:, 0] - areas[:, 1], area_a - area_b, pool.freedom)
            row |= {
                "a_faster": (of_a < of_b).mean(), "b_faster": (of_b < of_a).mean(),
                "neither": (np.isinf(of_a) & np.isinf(of_b)).mean(), "area_a": area_a, "area_b": area_b,
                "difference": area_a - area_b, "difference_low": np.clip(low, -1, 1),
                "difference_high": np.clip(high, -1, 1),
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)
