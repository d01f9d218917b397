"""Frames of studies whose outcome is given: what each seed of each optimizer ended with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from optbench.results.frames import STUDIES

#: By problem, batch size and optimizer (or an optimizer alone, on one problem) the metric of each seed; None diverged.
Outcomes = Mapping[Any, Sequence[float | None]]


@dataclass
class Study:
    """The frames that `optbench.load` gives, as far as statistics use them."""

    runs: pd.DataFrame
    trials: pd.DataFrame
    curves: pd.DataFrame
    cells: pd.DataFrame
    studies: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=STUDIES))


def study(
    outcomes: Outcomes,
    higher: bool = False,
    target: float | None = None,
    start: float | None = None,
    trials: Mapping[Any, Sequence[float | None]] | None = None,
    seeds: Mapping[Any, Sequence[int]] | None = None,
) -> Study:
    """A study in which the metric is the loss too. `trials` has the validation loss of each trial of a cell (by
    default three), at rates 0.001, 0.01, …; `seeds` the seeds of a cell, by default 0, 1, ….
    """
    worst = 0.1 if higher else 10.0
    target, start = target if target is not None else (0.9 if higher else 0.1), start if start is not None else worst
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("runs", "trials", "curves", "cells")}
    for key, values in outcomes.items():
        problem, batch, optimizer = key if isinstance(key, tuple) else ("bowl", 10, key)
        losses = list((trials or {}).get(key, (1.0, 0.5, 0.7)))
        rates = [10.0 ** (index - 3) for index in range(len(losses))]
        done = [(rate, loss) for rate, loss in zip(rates, losses, strict=True) if loss is not None]
        chosen = min(done, key=lambda pair: pair[1])[0] if done else math.nan
        common = {"cell_id": f"{problem}/{batch}/{optimizer}", "problem": problem, "optimizer": optimizer,
                  "batch_size": batch, "device": "cpu", "schedule": "constant"}  # fmt: skip
        rows["cells"].append(common | {
            "status": "ok", "error": "", "lr_default": 0.001, "lr_tuned": chosen, "lr_low": 1e-4, "lr_high": 1.0,
            "lr_low_searched": 1e-4, "lr_high_searched": 1.0, "edge": "", "trials": len(losses),
            "tuning_budget": 300.0, "tuning_cost": 300.0, "run_budget": 100.0, "metric_name": "metric",
            "metric_higher_is_better": higher, "target": target, "step_ms": 1.0, "step_ms_low": 0.98,
            "step_ms_high": 1.05, "environment": "here",
        })  # fmt: skip
        for index, (rate, loss) in enumerate(zip(rates, losses, strict=True)):
            rows["trials"].append(common | {
                "seed": 1_000_000 + index, "lr": rate, "status": "diverged" if loss is None else "ok", "error": "",
                "trial": index, "valid_loss": math.nan if loss is None else loss, "valid_metric": math.nan,
                "cost": 100.0, "seconds": 1.0,
            })  # fmt: skip
        own = (seeds or {}).get(key, range(len(values)))
        for seed, value in zip(own, values, strict=True):
            end = math.nan if value is None else value
            about = common | {"seed": seed, "lr": chosen, "tuned": True, "error": "",
                              "status": "diverged" if value is None else "ok"}  # fmt: skip
            figures = ("train_loss", "valid_loss", "valid_metric", "test_loss", "test_metric")
            # A fraction of the seed in losses alone: seeds differ, also where metrics are equal.
            rows["runs"].append(about | dict.fromkeys(figures, end) | {"train_loss": end + 1e-3 * (seed + 1)} | {
                "steps": 10, "cost": 100.0, "target_reached": False, "cost_to_target": math.nan,
                "steps_to_target": math.nan, "seconds_to_target": math.nan, "step_ms": 1.0,
                "peak_memory_bytes": 1000.0, "optimizer_state_bytes": 24,
            })  # fmt: skip
            for step, now in ((0, start), (5, start if value is None else (start + value) / 2), (10, end)):
                rows["curves"].append(about | {"kind": "run", "trial": -1, "step": step, "cost": 10.0 * step,
                                               "valid_loss": now, "valid_metric": now})  # fmt: skip
    frames = {name: pd.DataFrame(found) for name, found in rows.items()}
    return Study(**frames)


def paired_draws(rng: np.random.Generator, n: int, better: float = 0.0, spread: float = 0.3) -> dict[str, list[float]]:
    """Losses of a reference and an optimizer whose log-losses are lower by `better`, in `n` seeds that they share."""
    shared = rng.normal(0, 1, n)
    draws = {"adam": shared + spread * rng.normal(size=n), "mine": shared - better + spread * rng.normal(size=n)}
    return {name: np.exp(values).tolist() for name, values in draws.items()}
