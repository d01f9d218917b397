"""What experiments on functions of two variables take from results: paths, and the ground below them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.results.load import Results

#: How functions of two variables are run: without noise one example is all of them, so a step costs 1. So small
#: trainings are done in this process.
PLANE: dict[str, Any] = {"batch_sizes": [1], "seeds": 1, "tuning_worth": 0, "engine": "serial"}


def paths(results: Results, problem: str) -> pd.DataFrame:
    """Every step of the first seed's untuned or tuned runs: optimizer lr tuned step x y."""
    found = results.trajectories
    found = found[(found["problem"] == problem) & (found["seed"] == found["seed"].min())]
    columns = ["optimizer", "lr", "tuned", "step", "x", "y"]
    return found.sort_values(["optimizer", "lr", "tuned", "step"])[columns].reset_index(drop=True)


def ground(results: Results, problem: str) -> pd.DataFrame:
    """The function's values on a grid: x y value, and start_x start_y minimum_x minimum_y in every row."""
    plane = results.planes[problem]
    y, x = np.meshgrid(plane["y"], plane["x"], indexing="ij")
    places = {f"{name}_{axis}": plane[name][place] for name in ("start", "minimum") for place, axis in enumerate("xy")}
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "value": np.ravel(plane["value"]), **places})
