"""How well the times of two optimizers are known in relation to each other.

Seconds to a target are costs times a cell's seconds per cost, which was measured once. Its error is common to all seeds
of the cell: more seeds don't average it out, and no test over seeds sees it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.compared import CELL, GROUP
from optbench.metrics.losses import require


def timing_errors(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """By cell (an index of `CELL`) the columns `low` and `high`: the logarithms of the lowest and highest repetition
    of its timing pass over the median. Zero for a metric that isn't in seconds, missing where it isn't known.

    Raises UserError where `cells` lacks the columns of the timing pass.
    """
    if not metric.startswith("seconds"):
        own = cells[CELL].drop_duplicates()
        return own.assign(low=0.0, high=0.0).set_index(CELL)
    require(cells, "cells", [*CELL, "step_ms", "step_ms_low", "step_ms_high"])
    own = cells.drop_duplicates(CELL)
    step, low, high = (
        pd.to_numeric(own[name]).to_numpy(dtype=float, na_value=np.nan)
        for name in ("step_ms", "step_ms_low", "step_ms_high")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.log(low / step), np.log(high / step)
    known = np.isfinite(low) & np.isfinite(high)
    return own[CELL].assign(low=np.where(known, low, np.nan), high=np.where(known, high, np.nan)).set_index(CELL)


def error_of_ratio(errors: pd.DataFrame, group: dict[str, object], name: str, reference: str) -> tuple[float, float]:
    """By how much the log of (reference's time / optimizer's time) may lie lower and higher than estimated."""
    bounds = errors[["low", "high"]]
    (low, high), (other_low, other_high) = (
        bounds.loc[[(*(group[key] for key in GROUP), optimizer)]].to_numpy(dtype=float)[0]
        for optimizer in (name, reference)
    )
    return float(other_low - high), float(other_high - low)
