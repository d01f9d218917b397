"""Small frames in the form of `optbench.load`, row by row as a test wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from optbench.results.frames import CELLS, CURVES, RUNS, STUDIES, TRIALS


def cell_of(optimizer: str = "adam", problem: str = "p", batch_size: int = 10, **more: Any) -> dict[str, Any]:
    """A row of the cells frame."""
    return {
        "cell_id": f"{problem}/{batch_size}/{optimizer}", "problem": problem, "optimizer": optimizer,
        "batch_size": batch_size, "device": "cpu", "schedule": "constant", "status": "ok", "error": "",
        "lr_default": 0.1, "lr_tuned": 0.1, "lr_low": 1e-3, "lr_high": 1e1, "edge": "", "sampler": "tpe", "trials": 4,
        "run_budget": 100.0, "tuning_budget": 400.0, "studies": 1, "metric_name": "accuracy",
        "metric_higher_is_better": True, "target": 0.9,
    } | more  # fmt: skip


def run_of(cell: dict[str, Any], seed: int = 0, **more: Any) -> dict[str, Any]:
    """A row of the runs frame, of a run that used its budget and ended well."""
    place = {name: cell[name] for name in ("cell_id", "problem", "optimizer", "batch_size", "device", "schedule")}
    return place | {
        "seed": seed, "lr": cell["lr_tuned"], "status": "ok", "error": "", "steps": 10, "cost": 100.0,
        "step_ms": 1.0, "valid_loss": 0.5, "valid_metric": 0.8, "test_loss": 0.5, "test_metric": 0.8,
        "target_reached": False, "tuned": True,
    } | more  # fmt: skip


def curve_of(
    run: dict[str, Any], metric: Sequence[float], loss: Sequence[float] | None = None, kind: str = "run"
) -> list[dict[str, Any]]:
    """Rows of the curves frame, evenly spaced from step 0 to the run's last."""
    steps = np.linspace(0, run["steps"], len(metric))
    keep = ("cell_id", "problem", "optimizer", "batch_size", "device", "schedule", "seed", "lr", "status", "tuned")
    return [
        {name: run[name] for name in keep}
        | {"kind": kind, "trial": -1, "step": step, "cost": step / run["steps"] * run["cost"], "valid_metric": value,
           "valid_loss": math.nan if loss is None else loss[index]}
        for index, (step, value) in enumerate(zip(steps, metric, strict=True))
    ]  # fmt: skip


def trial_of(cell: dict[str, Any], trial: int, lr: float, loss: float = math.nan, **more: Any) -> dict[str, Any]:
    """A row of the trials frame; one without a loss has diverged."""
    place = {name: cell[name] for name in ("cell_id", "problem", "optimizer", "batch_size", "device", "schedule")}
    lost = not math.isfinite(loss)
    return place | {
        "seed": 1_000_000 + trial, "lr": lr, "status": "diverged" if lost else "ok", "error": "", "trial": trial,
        "valid_loss": loss, "valid_metric": loss, "cost": 30.0 if lost else 100.0, "seconds": 1.0,
    } | more  # fmt: skip


def frame(rows: Sequence[dict[str, Any]], kind: str) -> pd.DataFrame:
    """Rows as a `cells`, `runs`, `trials`, `studies` or `curves` frame with all of its columns."""
    columns = {"cells": CELLS, "runs": RUNS, "trials": TRIALS, "studies": STUDIES, "curves": CURVES}[kind]
    return pd.DataFrame(list(rows)).reindex(columns=columns)
