"""How well the times of two optimizers are known in relation to each other.

Seconds to a target are costs times a cell's seconds per cost, which was measured once. Its error is common to all seeds
of the cell: more seeds don't average it out, and no test over seeds sees it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from optbench.metrics.losses import require
from optbench.results.stored import CELL, GROUP


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


def by_cell(errors: pd.DataFrame) -> dict[tuple[object, ...], tuple[float, float]]:
    """The errors to look up: a frame's index takes milliseconds for each."""
    values = errors[["low", "high"]].to_numpy(dtype=float).tolist()
    return {cell: (low, high) for cell, (low, high) in zip(errors.index.tolist(), values, strict=True)}


def error_of_ratio(
    errors: Mapping[tuple[object, ...], tuple[float, float]], group: dict[str, object], name: str, reference: str
) -> tuple[float, float]:
    """By how much the log of (reference's time / optimizer's time) may lie lower and higher than estimated."""
    task = tuple(group[key] for key in GROUP)
    (low, high), (other_low, other_high) = errors[*task, name], errors[*task, reference]
    return other_low - high, other_high - low
