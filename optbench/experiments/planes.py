"""Helpers for experiments on functions of two variables: paths, and the function below them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.results.load import Results

#: The settings for functions of two variables. Without noise, one example is the whole set, so a step costs 1. These
#: trainings are so small that they run in this process.
PLANE: dict[str, Any] = {"batch_sizes": [1], "seeds": 1, "tuning_worth": 0, "engine": "serial"}


def paths(results: Results, problem: str) -> pd.DataFrame:
    """Every step of the runs of the first seed, tuned and untuned: optimizer lr tuned step x y."""
    points = results.trajectories
    points = points[(points["problem"] == problem) & (points["seed"] == points["seed"].min())]
    columns = ["optimizer", "lr", "tuned", "step", "x", "y"]
    return points.sort_values(["optimizer", "lr", "tuned", "step"])[columns].reset_index(drop=True)


def ground(results: Results, problem: str) -> pd.DataFrame:
    """The function's values on a grid: x y value, and start_x start_y minimum_x minimum_y in every row."""
    plane = results.planes[problem]
    y, x = np.meshgrid(plane["y"], plane["x"], indexing="ij")
    places = {f"{name}_{axis}": plane[name][place] for name in ("start", "minimum") for place, axis in enumerate("xy")}
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "value": np.ravel(plane["value"]), **places})
