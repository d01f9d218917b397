"""Where a median over the seeds of one cell is taken: where all of them have been evaluated equally often."""

from __future__ import annotations

import numpy as np
import pandas as pd


def shared_costs(curves: pd.DataFrame) -> np.ndarray:
    """For every k the cost by which all seeds of a cell that get so far have had their k-th evaluation, ascending.

    Seeds are evaluated at the end of the step that passes a point, so where steps differ in cost (line searches) they
    are not at one place. In between, some have moved on and others are still where they were: a median there would be
    of different moments, and its line a staircase.
    """
    cost, seed = curves["cost"].to_numpy(dtype=float), curves["seed"].to_numpy()
    reached = np.full(len(cost), -np.inf)
    for one in np.unique(seed):
        own = np.sort(cost[seed == one])
        np.maximum(reached[: len(own)], own, out=reached[: len(own)])
    return np.unique(reached[reached > -np.inf])
