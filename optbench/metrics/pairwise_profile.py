"""Performance profiles of two optimizers at a time, whose order no third optimizer can change."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from optbench.metrics.profile_units import MEASURES, profile_units
from optbench.statistics.bootstrap import bootstrap_interval
from optbench.statistics.profiles import area

_COLUMNS = ["measure", "a", "b", "units", "a_faster", "b_faster", "neither", "area_a", "area_b", "difference",
            "difference_low", "difference_high", "units_left_out"]  # fmt: skip


def pairwise_profile(times: pd.DataFrame, seed: int = 0, resamples: int = 1000) -> pd.DataFrame:
    """Returns the areas under the profiles of each two optimizers in a pool of only these two, one row per pair.

    In a larger pool the order of two optimizers may depend on a third (Gould and Scott 2016). `units` is the number of
    units of which both have a common seed, and `units_left_out` the others. `a_faster`, `b_faster` and `neither` are
    the shares of units that one of the two solves faster, or neither solves. `difference` is area a − area b; its
    bounds come from resampling seeds, the same ones for both.

    Args:
        times: As for `performance_profile`.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    frames = [_pairs(times, measure, seed, resamples) for measure in MEASURES]
    return pd.concat(frames, ignore_index=True)


def _pairs(times: pd.DataFrame, measure: str, seed: int, resamples: int) -> pd.DataFrame:
    units = profile_units(times, measure)
    rows = []
    for a, b in combinations(units.optimizers, 2):
        pool = units.pool([a, b])
        row = {"measure": measure, "a": a, "b": b, "units": int(pool.has_all.sum()),
               "units_left_out": int((~pool.has_all).sum())}  # fmt: skip
        if pool.has_all.any():
            of_a, of_b = medians = pool.medians[:, pool.has_all]
            area_a, area_b = area(medians)
            areas = np.concatenate([area(chunk) for chunk in pool.resample(seed, resamples)])
            low, high = bootstrap_interval(areas[:, 0] - areas[:, 1], area_a - area_b, pool.degrees_of_freedom)
            row |= {
                "a_faster": (of_a < of_b).mean(), "b_faster": (of_b < of_a).mean(),
                "neither": (np.isinf(of_a) & np.isinf(of_b)).mean(), "area_a": area_a, "area_b": area_b,
                "difference": area_a - area_b, "difference_low": np.clip(low, -1, 1),
                "difference_high": np.clip(high, -1, 1),
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)
