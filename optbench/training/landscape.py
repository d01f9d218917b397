"""Values of a two-dimensional problem on a grid, for the contours in plots of trajectories."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.utils import vector_to_parameters

from optbench.problem.base import Problem
from optbench.problem.data import Data
from optbench.training.device_data import ResidentData
from optbench.training.evaluation import evaluate

#: Number of grid points per axis.
POINTS = 61


def compute_plane_values(problem: Problem, data: Data) -> dict[str, Any] | None:
    """Computes the training objective of a two-dimensional problem on a grid.

    Args:
        problem: The problem.
        data: Its data.

    Returns:
        Start, minimum, domain, grid coordinates x and y, and the values, of shape (y, x); None for other problems.
    """
    plane = problem.plane
    if plane is None:
        return None
    resident = ResidentData(problem, data, "cpu")
    model = problem.model()
    dtype = next(model.parameters()).dtype
    x = np.linspace(*plane.domain[0], POINTS)
    y = np.linspace(*plane.domain[1], POINTS)
    value = np.empty((POINTS, POINTS))
    for row, second in enumerate(y):
        for column, first in enumerate(x):
            vector_to_parameters(torch.tensor([first, second], dtype=dtype), model.parameters())
            value[row, column] = evaluate(problem, model, resident.train_sample).loss
    return {
        "start": list(plane.start),
        "minimum": list(plane.minimum),
        "domain": [list(side) for side in plane.domain],
        "x": x.tolist(),
        "y": y.tolist(),
        "value": value.tolist(),
    }
