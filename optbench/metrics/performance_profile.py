"""Performance profiles (Dolan and Moré 2002), and the area under them, which is AlgoPerf's score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.profile_units import MEASURES, profile_units
from optbench.statistics.bootstrap import bootstrap_interval
from optbench.statistics.profiles import RATIO_MAX, area, ratios

_COLUMNS = ["measure", "optimizer", "area", "area_low", "area_high", "fastest", "solved", "units", "units_left_out"]


def performance_profile(times: pd.DataFrame, seed: int = 0, resamples: int = 1000) -> pd.DataFrame:
    """Returns the area under each optimizer's performance profile, by cost and by seconds, the largest first.

    A unit is a problem, batch size, device, schedule and target. An optimizer's time on it is the median over seeds,
    infinite if half of them missed the target. Ratios are to the fastest optimizer, so only units count of which all
    optimizers have a common seed: their number is `units`, the others are `units_left_out`. `fastest` and `solved` are
    the shares of units on which an optimizer is the fastest, and which it solves. The bounds come from resampling seeds
    within tasks. They are missing if the resamples do not differ, which does not mean certainty.

    All figures are missing if no unit is common to all optimizers. An optimizer without any known time has a row
    without figures and does not count otherwise.

    Args:
        times: The frame of `time_to_target`, for the runs that are compared.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    frames = []
    for measure in MEASURES:
        pool = profile_units(times, measure).pool()
        common = pool.has_all
        medians = pool.medians[:, common]
        frame = pd.DataFrame({"measure": measure, "optimizer": pool.optimizers}).reindex(columns=_COLUMNS)
        frame["units"], frame["units_left_out"] = int(common.sum()), int((~common).sum())
        if medians.size:
            ratio = ratios(medians)
            areas = area(medians)
            samples = [area(chunk) for chunk in pool.resample(seed, resamples)]
            low, high = bootstrap_interval(np.concatenate(samples), areas, pool.degrees_of_freedom)
            frame["area"], frame["area_low"], frame["area_high"] = areas, np.clip(low, 0, 1), np.clip(high, 0, 1)
            frame["fastest"], frame["solved"] = (ratio == 1).mean(axis=1), np.isfinite(ratio).mean(axis=1)
        frame = frame.sort_values(["area", "optimizer"], ascending=[False, True], na_position="last")
        unknown = sorted(set(times["optimizer"].unique()) - set(pool.optimizers))
        frames.append(frame)
        if unknown:  # without known times: listed, but not in the pool
            frames.append(pd.DataFrame({"measure": measure, "optimizer": unknown, "units": 0,
                                        "units_left_out": len(common)}))  # fmt: skip
    return pd.concat(frames, ignore_index=True)[_COLUMNS]


def profile_curves(
    times: pd.DataFrame, measure: str = "cost", seed: int = 0, resamples: int = 1000, points: int = 61
) -> pd.DataFrame:
    """Returns the profiles as a frame: `optimizer`, `ratio` (1 to `RATIO_MAX`), `share`, `share_low`, `share_high`.

    `share` is the share of units that an optimizer solves within `ratio` times the fastest.

    Args:
        times: As for `performance_profile`.
        measure: `cost` or `seconds`.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
        points: Number of ratios.
    """
    pool = profile_units(times, measure).pool()
    grid = np.geomspace(1, RATIO_MAX, points)
    columns = ["optimizer", "ratio", "share", "share_low", "share_high"]
    if not pool.has_all.any():
        return pd.DataFrame(columns=columns)

    def shares(medians: np.ndarray) -> np.ndarray:
        within = ratios(medians)[..., None] <= grid * (1 + 1e-12)
        return np.asarray(within.mean(axis=-2))

    share = shares(pool.medians[:, pool.has_all])
    samples = np.concatenate([shares(chunk) for chunk in pool.resample(seed, resamples)])
    low, high = bootstrap_interval(samples, share, pool.degrees_of_freedom)
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
