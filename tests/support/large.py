"""Frames as large as results get, made column by column: nothing here grows but the arrays."""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.registry import TABLES
from optbench.metrics.tables import all_tables
from optbench.results.frames import CELLS, CURVES, RUNS, STUDIES, TRIALS

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adagrad", "adadelta", "rmsprop", "adamax", "nadam", "lbfgs")
BATCH_SIZES = (16, 32, 64, 128, 256)
SCHEDULES = ("constant", "cosine")
TEXTS = ("cell_id", "problem", "optimizer", "device", "schedule", "status", "error", "kind")
BUDGET = 100_000.0


def large(problems: int = 20, seeds: int = 25, points: int = 100, trials: int = 20) -> SimpleNamespace:
    """Results of problems × 5 batch sizes × 2 schedules × 10 optimizers, each with `seeds` tuned and as many
    default runs of `points` evaluations. With the defaults 100,000 runs and 10 million points.
    """
    rng = np.random.default_rng(0)
    per = len(BATCH_SIZES) * len(SCHEDULES) * len(OPTIMIZERS)
    count = problems * per
    number = np.arange(count)
    cells = pd.DataFrame({
        "cell_id": [f"cell{index:012d}" for index in number],
        "problem": [f"problem{index:03d}[data=made]" for index in number // per],
        "optimizer": np.array(OPTIMIZERS)[number % 10],
        "batch_size": np.array(BATCH_SIZES)[number // 10 % 5],
        "device": "cpu",
        "schedule": np.array(SCHEDULES)[number // 50 % 2],
        "status": "ok", "error": "", "edge": "", "sampler": "tpe", "trials": trials, "environment": "here",
        "metric_name": "accuracy", "metric_higher_is_better": True, "target": 0.7, "run_budget": BUDGET,
        "tuning_budget": trials * BUDGET, "tuning_cost": trials * BUDGET, "step_ms": 1.0,
        "lr_low": 1e-4, "lr_high": 1.0, "lr_low_searched": 1e-4, "lr_high_searched": 1.0,
    })  # fmt: skip
    best = rng.uniform(-3, -1, count)
    skill = 0.6 + 0.03 * (number % 10) + rng.normal(0, 0.02, count)
    cells["lr_default"], cells["lr_tuned"] = 10 ** (best + rng.normal(0, 0.7, count)), 10**best
    cell = np.repeat(number, 2 * seeds)
    tuned = np.tile(np.repeat([True, False], seeds), count)
    runs = _of(cells, cell)
    size = len(runs)
    final = skill[cell] - 0.1 * ~tuned + rng.normal(0, 0.03, size)
    lost = rng.random(size) < 0.02
    loss = np.exp(-3 * final)
    runs = runs.assign(
        seed=np.tile(np.arange(seeds), 2 * count), tuned=tuned,
        lr=np.where(tuned, cells["lr_tuned"].to_numpy()[cell], cells["lr_default"].to_numpy()[cell]),
        status=np.where(lost, "diverged", "ok"), error=np.where(lost, "loss not finite", ""),
        steps=1000, examples=100_000, cost=BUDGET, forwards=1000, backwards=1000, train_loss=loss * 0.9,
        valid_loss=np.where(lost, np.nan, loss), valid_metric=np.where(lost, np.nan, final),
        test_loss=np.where(lost, np.nan, loss * 1.1), test_metric=np.where(lost, np.nan, final - 0.01),
        target_reached=False, train_seconds=1.0, eval_seconds=1.0, step_ms=1.0,
    )  # fmt: skip
    return SimpleNamespace(
        cells=cells.reindex(columns=CELLS),
        runs=runs.reindex(columns=RUNS),
        trials=_trials(cells, best, skill, trials, rng),
        curves=_curves(runs, final, points, rng),
        studies=pd.DataFrame(columns=STUDIES),
        trajectories=pd.DataFrame(),
        planes={},
    )


def _of(cells: pd.DataFrame, place: np.ndarray) -> pd.DataFrame:
    names = ["cell_id", "problem", "optimizer", "batch_size", "device", "schedule"]
    return cells[names].iloc[place].reset_index(drop=True)


def _trials(
    cells: pd.DataFrame, best: np.ndarray, skill: np.ndarray, trials: int, rng: np.random.Generator
) -> pd.DataFrame:
    cell = np.repeat(np.arange(len(cells)), trials)
    rate = rng.uniform(-4, 0, len(cell))
    lost = rate > best[cell] + 1
    loss = np.where(lost, np.nan, np.exp(-3 * skill[cell]) * (1 + (rate - best[cell]) ** 2))
    frame = _of(cells, cell).assign(
        seed=1_000_000 + np.tile(np.arange(trials), len(cells)), trial=np.tile(np.arange(trials), len(cells)),
        lr=10**rate, status=np.where(lost, "diverged", "ok"), error="", valid_loss=loss, valid_metric=loss,
        cost=np.where(lost, 0.3 * BUDGET, BUDGET), seconds=1.0,
    )  # fmt: skip
    return frame.reindex(columns=TRIALS)


def _curves(runs: pd.DataFrame, final: np.ndarray, points: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rising metrics that end near `final`; texts as categories, as nothing else would fit into memory."""
    place = np.repeat(np.arange(len(runs), dtype=np.int32), points)
    share = np.tile(np.linspace(0, 1, points), len(runs))
    metric = final[place] * (1 - np.exp(-4 * share)) + rng.normal(0, 0.01, len(place))
    loss = np.exp(-3 * metric)
    columns: dict[str, object] = {}
    for name in CURVES:
        if name in ("kind", "trial"):
            continue
        if name in TEXTS:
            texts = runs[name].astype("category")
            columns[name] = pd.Categorical.from_codes(texts.cat.codes.to_numpy()[place], dtype=texts.dtype)
        elif name in runs:
            columns[name] = runs[name].to_numpy()[place]
    return pd.DataFrame({
        **columns,
        "kind": pd.Categorical.from_codes(np.zeros(len(place), dtype=np.int8), ["run"]),
        "trial": np.full(len(place), -1), "step": (share * 1000).astype(np.int64), "cost": share * BUDGET,
        "seconds": share, "train_loss": loss, "valid_loss": loss, "valid_metric": metric,
        "trainable_parameters": np.full(len(place), np.nan),
    }, copy=False)[CURVES]  # fmt: skip


def main() -> None:
    """Makes all tables of frames of this size, and prints the seconds of each and the peak memory."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.large", description=main.__doc__)
    parser.add_argument("--problems", type=int, default=20, help="5,000 runs and 500,000 points each (default: 20)")
    results = large(parser.parse_args().problems)

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2

    print(f"{len(results.runs):,} runs, {len(results.curves):,} points, {peak():.2f} GiB")
    for name, table in TABLES.items():
        TABLES[name] = replace(table, make=_told(name, table.make))
    started = time.perf_counter()
    all_tables(results)
    print(f"total {time.perf_counter() - started:.1f} s {peak():.2f} GiB")


def _told(name: str, make: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    def timed(*given: Any) -> pd.DataFrame:
        started = time.perf_counter()
        table = make(*given)
        print(f"{time.perf_counter() - started:6.2f} s  {len(table):7,} rows  {name}", flush=True)
        return table

    return timed


if __name__ == "__main__":
    main()
