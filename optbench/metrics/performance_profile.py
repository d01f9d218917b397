"""Dolan and Moré's performance profile of each optimizer, and AlgoPerf's score: the area under it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.profile_units import MEASURES, profile_units
from optbench.statistics.bootstrap import interval
from optbench.statistics.profiles import RATIO_MAX, area, ratios

_COLUMNS = ["measure", "optimizer", "area", "area_low", "area_high", "fastest", "solved", "units", "units_left_out"]


def performance_profile(times: pd.DataFrame, seed: int = 0, resamples: int = 1000) -> pd.DataFrame:
    """The area under each optimizer's performance profile, by cost and by seconds, best first.

    `times` is the frame of `time_to_target` for the runs that are compared. A unit is a problem, batch size,
    device, schedule and target; an optimizer's time on it the median over seeds, infinite where half of them
    missed. Ratios are to the fastest of the pool, so only units count of which all optimizers have a seed in common:
    `units` of them; the others are `units_left_out`. `fastest` and `solved` are the shares of units on which an
    optimizer is the fastest, and gets there at all. The bounds come from resampling seeds within groups,
    and are missing where the resamples don't differ: that is no certainty.
    All figures are missing where no unit is common to all optimizers. One of whom no time is known is no part of
    the pool, and has a row without figures.
    """
    frames = []
    for measure in MEASURES:
        pool = profile_units(times, measure).pool()
        shared = pool.shared
        medians = pool.medians[:, shared]
        frame = pd.DataFrame({"measure": measure, "optimizer": pool.optimizers}).reindex(columns=_COLUMNS)
        frame["units"], frame["units_left_out"] = int(shared.sum()), int((~shared).sum())
        if medians.size:
            ratio = ratios(medians)
            areas = area(medians)
            samples = [area(chunk) for chunk in pool.resampled(seed, resamples)]
            low, high = interval(np.concatenate(samples), areas, pool.freedom)
            frame["area"], frame["area_low"], frame["area_high"] = areas, np.clip(low, 0, 1), np.clip(high, 0, 1)
            frame["fastest"], frame["solved"] = (ratio == 1).mean(axis=1), np.isfinite(ratio).mean(axis=1)
        frame = frame.sort_values(["area", "optimizer"], ascending=[False, True], na_position="last")
        unknown = sorted(set(times["optimizer"].unique()) - set(pool.optimizers))
        frames.append(frame)
        if unknown:  # of whom no time is known: no part of the pool, but named
            frames.append(pd.DataFrame({"measure": measure, "optimizer": unknown, "units": 0,
                                        "units_left_out": len(shared)}))  # fmt: skip
    return pd.concat(frames, ignore_index=True)[_COLUMNS]


def profile_curves(
    times: pd.DataFrame, measure: str = "cost", seed: int = 0, resamples: int = 1000, points: int = 61
) -> pd.DataFrame:
    """The profiles themselves: `optimizer ratio share share_low share_high`, at ratios from 1 to `RATIO_MAX`.

    The share of units that an optimizer solves within `ratio` times the fastest, with its interval at each ratio.
    """
    pool = profile_units(times, measure).pool()
    grid = np.geomspace(1, RATIO_MAX, points)
    columns = ["optimizer", "ratio", "share", "share_low", "share_high"]
    if not pool.shared.any():
        return pd.DataFrame(columns=columns)

    def shares(medians: np.ndarray) -> np.ndarray:
        within = ratios(medians)[..., None] <= grid * (1 + 1e-12)
        return np.asarray(within.mean(axis=-2))

    share = shares(pool.medians[:, pool.shared])
    samples = np.concatenate([shares(chunk) for chunk in pool.resampled(seed, resamples)])
    low, high = interval(samples, share, pool.freedom)
    return pd.DataFrame(
        {
            "optimizer": np.repeat(pool.optimizers, points),
            "ratio": np.tile(grid, len(pool.optimizers)),
            "share": share.ravel(),
            "share_low": np.clip(low, 0, 1).ravel(),
            "share_high": np.clip(high, 0, 1).ravel(),
        },
        columns=columns,
    )
