"""Results directories made up without training: of any size, with failures, and with whatever names."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from optbench.config.load import configure
from optbench.results.directory import ResultsDirectory

TEN = ("sgd", "momentum", "nesterov", "adam", "adagrad", "adadelta", "rmsprop", "adamax", "nadam", "lbfgs")
BUDGET = 60_000
ENVIRONMENT = {
    "key": "made", "python": "3.12.1", "system": "Linux", "machine": "x86_64", "processor": "Made Up 9000", "cores": 2,
    "memory_gib": 8.0, "packages": {"optbench": "0.1.0", "torch": "2.14.1"}, "accelerators": {},
}  # fmt: skip


def write_directory(
    folder: Path,
    optimizers: Sequence[str] = ("adam", "momentum", "sgd"),
    problems: Sequence[str] = ("valley", "clouds", "digits"),
    batch_sizes: Sequence[int] = (32, 128),
    seeds: int = 6,
    trials: int = 6,
    points: int = 20,
    missing: int = 0,
    failing: Sequence[tuple[str, str]] = (),
) -> Path:
    """A results directory of all cells of these lists, of which the last `missing` have not been run.

    Problems called `valley…` are functions of the plane: lower is better there, elsewhere a higher accuracy. In cells
    of `failing` (problem, optimizer) every training diverges, and one seed of sgd on the second problem does.
    """
    rng = np.random.default_rng(7)
    directory = ResultsDirectory(folder)
    with patch("os.fsync", lambda descriptor: None):  # thousands of files that nobody would miss
        directory.create()
        directory.write_config(configure(seeds=seeds))
        directory.write_environment(ENVIRONMENT)
        directory.add_planes({name: _plane() for name in problems if name.startswith("valley")})
        listed = list(itertools.product(enumerate(problems), batch_sizes, enumerate(optimizers)))
        cells = []
        for index, ((_, problem), batch, (_, optimizer)) in enumerate(listed):
            valley = problem.startswith("valley")
            cells.append({
                "cell_id": f"{index:016x}", "problem": problem, "optimizer": optimizer, "batch_size": batch,
                "device": "cpu", "schedule": "constant", "tuned": True, "execution": "eager", "arguments": {},
                "defaults": {"lr": 0.001}, "lr_range": [1e-5, 1e-1], "sampler": "tpe",
                "metric_name": "suboptimality" if valley else "accuracy", "metric_higher_is_better": not valley,
                "target": 0.05 if valley else 0.9,
            })  # fmt: skip
        directory.write_plan({"seeds": list(range(seeds)), "cells": cells})
        for cell, ((p, problem), batch, (o, optimizer)) in list(zip(cells, listed, strict=True))[
            : len(listed) - missing
        ]:
            skill = 0.3 + 0.05 * ((o * 7 + p * 3) % 10) - 0.04 * math.log2(batch / min(batch_sizes))
            lost = (problem, optimizer) in failing
            doomed = {2} if optimizer == "sgd" and p == 1 else set()
            _write_cell(directory, cell, skill, seeds, trials, points, lost, doomed, rng)
    return folder


def _write_cell(
    directory: ResultsDirectory, cell: dict[str, Any], skill: float, seeds: int, trials: int, points: int, lost: bool,
    doomed: set[int], rng: np.random.Generator,
) -> None:  # fmt: skip
    folder = directory.cell(cell["cell_id"]).folder
    for name in ("curves", "runs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    per_cost = 1e-5 * (1.0 + 0.3 * rng.random() + (cell["optimizer"] == "lbfgs")) * (32 / cell["batch_size"]) ** 0.4
    _write(folder / "cell.json", {"problem": cell["problem"]})
    _write(folder / "timing.json", {
        "seconds_per_cost": per_cost, "seconds_per_step": per_cost * cell["batch_size"],
        "seconds_per_step_low": 0.95 * per_cost * cell["batch_size"], "peak_memory_bytes": 40_000 * cell["batch_size"],
        "seconds_per_step_high": 1.1 * per_cost * cell["batch_size"], "environment": "made",
    })  # fmt: skip
    best = 10 ** (-2.5 + rng.normal(0, 0.2))
    records = []
    for trial in range(trials):
        lr = 0.001 if trial == 0 else 10 ** rng.uniform(-5, -1)
        away = abs(math.log10(lr / best))
        record, curve = _training(cell, 1_000_000 + trial, lr, skill - 0.1 * away, lost or lr > 9 * best, points, rng)
        records.append(record | {"trial": trial})
        _write(folder / "curves" / f"trial-{trial}.json", curve)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "trials.jsonl").write_text(lines, "utf-8")
    ended = [record for record in records if record["status"] == "ok"]
    chosen = min(ended, key=lambda record: record["valid_loss"])["hyperparameters"]["lr"] if ended else None
    for tuned, seed in itertools.product((True, False), range(seeds)):
        lr = chosen if tuned else 0.001
        name = f"{seed}" if tuned else f"{seed}-default"
        if lr is None:
            _write(folder / "runs" / f"{name}.json", _skipped(seed))
            continue
        worse = skill - (0 if tuned else 0.08) + rng.normal(0, 0.03)
        record, curve = _training(cell, seed, lr, worse, lost or (tuned and seed in doomed), points, rng)
        _write(folder / "runs" / f"{name}.json", record | {"tuned": tuned})
        _write(folder / "curves" / f"run-{name}.json", curve)
    _write(folder / "result.json", {
        "best": {"lr": chosen} if chosen else {}, "edge": "", "space": {"lr": [1e-5, 1e-1]},
        "status": "ok", "error": "", "space_searched": {"lr": [1e-5, 1e-1]}, "run_budget": BUDGET,
        "tuning_budget": float(trials * BUDGET),
        "seeds": list(range(seeds)), "seconds": 3.0, "environment": "made", "execution": "eager",
        "execution_note": "",
    })  # fmt: skip


def _training(
    cell: dict[str, Any], seed: int, lr: float, skill: float, lost: bool, points: int, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record of a training and its curve: losses that fall to what the skill allows, with noise."""
    valley, batch = cell["problem"].startswith("valley"), cell["batch_size"]
    share = np.linspace(0, 1, points)[: points // 2 + 1 if lost else points]
    step = np.round(share * BUDGET / batch).astype(int)
    end = 10 ** (-2.2 * max(skill, 0.0) + 0.02 * rng.normal())
    loss = end + (2.3 - end) * np.exp(-6 * share) * (1 + 0.03 * rng.normal(size=len(share)))
    loss[0] = 2.3
    if lost:
        loss[-1] = math.nan
    metric = loss / 2.3 * 0.9 if valley else np.clip(1 - 0.4 * loss, 0.1, 1)
    curve: dict[str, Any] = {
        "step": step.tolist(), "cost": (step * float(batch)).tolist(), "train_loss": _finite(loss * 0.97),
        "valid_loss": _finite(loss), "valid_metric": _finite(metric),
    }  # fmt: skip
    if valley and seed < 1_000_000:
        angle = np.linspace(0, 1, 60)
        curve["trajectory"] = {
            "step": np.round(angle * step[-1]).astype(int).tolist(),
            "position": np.column_stack([
                4 * np.exp(-3 * skill * angle), np.exp(-3 * angle) * np.cos(9 * angle * (1 + skill))
            ]).tolist(),
        }  # fmt: skip
    final = None if lost else float(loss[-1])
    value = None if lost else float(metric[-1])
    record = {
        "seed": seed, "hyperparameters": {"lr": lr}, "status": "diverged" if lost else "ok",
        "error": "loss not finite" if lost else "", "traceback": "", "steps": int(step[-1]),
        "thirds": int(step[-1] * batch * 3),
        "forwards": int(step[-1]), "backwards": int(step[-1]), "train_loss": final, "valid_loss": final,
        "valid_metric": value, "test_loss": final and final * 1.02, "test_metric": value and value * 0.99,
        "train_seconds": 1.0, "eval_seconds": 0.1, "optimizer_state_bytes": 8_000 * (1 + len(cell["optimizer"]) % 3),
    }  # fmt: skip
    return record, curve


def _skipped(seed: int) -> dict[str, Any]:
    names = ("train_loss", "valid_loss", "valid_metric", "test_loss", "test_metric", "optimizer_state_bytes")
    return dict.fromkeys(names) | {
        "tuned": True, "seed": seed, "hyperparameters": {}, "status": "skipped",
        "error": "no trial ended with a finite loss",
        "steps": 0, "thirds": 0, "forwards": 0, "backwards": 0, "train_seconds": 0.0, "eval_seconds": 0.0,
    }  # fmt: skip


def _plane() -> dict[str, Any]:
    x, y = np.linspace(-5, 5, 41), np.linspace(-2.5, 2.5, 41)
    value = 0.5 * (x[None, :] ** 2 + 10 * y[:, None] ** 2)
    return {"start": [4.0, 1.0], "minimum": [0.0, 0.0], "domain": [[-5.0, 5.0], [-2.5, 2.5]], "x": x.tolist(),
            "y": y.tolist(), "value": value.tolist()}  # fmt: skip


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value), "utf-8")
