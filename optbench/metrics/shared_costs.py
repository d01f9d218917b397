"""The costs at which medians over the seeds of a cell are taken: those of equal numbers of evaluations."""

from __future__ import annotations

import numpy as np
import pandas as pd


def align_costs(curves: pd.DataFrame) -> np.ndarray:
    """Returns for each k the cost by which all seeds of a cell have had their k-th evaluation, in ascending order.

    Seeds that end before their k-th evaluation do not count for k. Seeds are evaluated at the end of the step that
    passes a point, so the costs differ between seeds if the cost of a step varies (line searches). Between the returned
    costs, some seeds have more evaluations than others: a median there would mix different moments, and its line would
    be a staircase.

    Args:
        curves: The rows of the curves frame of one cell.
    """
    cost, seed = curves["cost"].to_numpy(dtype=float), curves["seed"].to_numpy()
    reached = np.full(len(cost), -np.inf)
    for one in np.unique(seed):
        own = np.sort(cost[seed == one])
        np.maximum(reached[: len(own)], own, out=reached[: len(own)])
    return np.unique(reached[reached > -np.inf])
