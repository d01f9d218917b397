"""The accuracy of the ratio of two optimizers' times.

Seconds to a target are costs times a cell's seconds per cost, which is measured once. All seeds of the cell share its
error: more seeds do not reduce it, and tests over seeds do not see it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from optbench.metrics.losses import require_columns
from optbench.results.stored import CELL, GROUP


def timing_errors(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns the errors of step times by cell: `low` and `high`, indexed by `CELL`.

    They are the logarithms of the fastest and slowest repetition of the timing pass over the median. They are zero for
    metrics that are not in seconds, and missing if unknown.

    Args:
        cells: Frame of cells.
        metric: One of `metrics.METRICS`.

    Raises:
        UserError: `cells` lacks the columns of the timing pass.
    """
    if not metric.startswith("seconds"):
        own = cells[CELL].drop_duplicates()
        return own.assign(low=0.0, high=0.0).set_index(CELL)
    require_columns(cells, "cells", [*CELL, "step_ms", "step_ms_low", "step_ms_high"])
    own = cells.drop_duplicates(CELL)
    step, low, high = (
        pd.to_numeric(own[name]).to_numpy(dtype=float, na_value=np.nan)
        for name in ("step_ms", "step_ms_low", "step_ms_high")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.log(low / step), np.log(high / step)
    known = np.isfinite(low) & np.isfinite(high)
    return own[CELL].assign(low=np.where(known, low, np.nan), high=np.where(known, high, np.nan)).set_index(CELL)


def index_by_cell(errors: pd.DataFrame) -> dict[tuple[object, ...], tuple[float, float]]:
    """Returns the errors as a dictionary: a lookup in a frame's index takes milliseconds."""
    values = errors[["low", "high"]].to_numpy(dtype=float).tolist()
    return {cell: (low, high) for cell, (low, high) in zip(errors.index.tolist(), values, strict=True)}


def ratio_error(
    errors: Mapping[tuple[object, ...], tuple[float, float]], group: dict[str, object], name: str, reference: str
) -> tuple[float, float]:
    """Returns how far log(reference's time / optimizer's time) may be below and above its estimate.

    Args:
        errors: The dictionary of `index_by_cell`.
        group: The `GROUP` values of the task.
        name: The optimizer.
        reference: The optimizer it is compared with.
    """
    task = tuple(group[key] for key in GROUP)
    (low, high), (other_low, other_high) = errors[*task, name], errors[*task, reference]
    return other_low - high, other_high - low
