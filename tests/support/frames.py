"""Synthetic result frames: what `optbench.load` gives, made up without training anything."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from optbench.results.frames import STUDIES

TEN = ("sgd", "momentum", "nesterov", "adam", "adagrad", "adadelta", "rmsprop", "adamax", "nadam", "lbfgs")
VALLEY = "quadratic_valley"
PROBLEMS = (VALLEY, "mnist_cnn[data=digits]", "cifar_resnet[data=digits,depth=8]")
COMMON = ["cell_id", "problem", "optimizer", "batch_size", "device", "schedule", "seed", "lr", "status", "error"]

#: (problem, optimizer, batch size) and what went wrong there.
DIVERGED = {(VALLEY, "adagrad", 32), (PROBLEMS[1], "nadam", 128)}  # one seed of the cell
BROKEN = {(PROBLEMS[2], "lbfgs", 128): ("oom", "out of memory: 9.1 GB of 8.0 GB"),
          (PROBLEMS[1], "adadelta", 32): ("diverged", "every trial diverged")}  # fmt: skip


@dataclass
class Frames:
    """The frames of a results directory, with the paths of the two-dimensional problem."""

    runs: pd.DataFrame
    trials: pd.DataFrame
    curves: pd.DataFrame
    cells: pd.DataFrame
    paths: pd.DataFrame
    studies: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=STUDIES))


def make(
    optimizers: Sequence[str] = TEN,
    problems: Sequence[str] = PROBLEMS,
    batch_sizes: Sequence[int] = (32, 128),
    seeds: int = 3,
    trials: int = 12,
    points: int = 16,
) -> Frames:
    """A matrix of cells, some of them diverged or broken (see `DIVERGED` and `BROKEN`)."""
    rng = np.random.default_rng(0)
    run_rows, trial_rows, curve_rows, cell_rows, path_rows = [], [], [], [], []
    for problem, batch, optimizer in itertools.product(problems, batch_sizes, optimizers):
        valley = problem == VALLEY
        skill = 0.3 + 0.07 * (len(optimizer) * 7 % 10)
        best = 10 ** (-0.5 - 3 * ((len(optimizer) * 3 + ord(optimizer[1])) % 10) / 10)
        default = best * 10 ** rng.uniform(-1.2, 0.7)
        common = {
            "cell_id": f"{problem}-{optimizer}-{batch}", "problem": problem, "optimizer": optimizer,
            "batch_size": batch, "device": "cpu", "schedule": "constant",
        }  # fmt: skip
        status, error = BROKEN.get((problem, optimizer, batch), ("ok", None))
        rates = [default, *best * 10 ** rng.uniform(-2, 1.3, trials - 1)]
        cell_rows.append(common | {
            "status": status, "error": error, "lr_default": default, "lr_tuned": best if status == "ok" else math.nan,
            "lr_low": best / 100, "lr_high": best * 100, "lr_low_searched": best / 100,
            "lr_high_searched": best * (1000 if optimizer == "adadelta" else 100),
            "edge": "high" if optimizer == "adadelta" else "", "sampler": "tpe", "trials": trials,
            "tuning_budget": 72_000.0, "tuning_cost": 71_234.0 + 1 / 3, "run_budget": 6_000.0,
            "metric_name": "suboptimality" if valley else "accuracy", "metric_higher_is_better": not valley,
            "target": 1e-3 if valley else 0.9,
        })  # fmt: skip
        for index, lr in enumerate(rates):
            away = abs(math.log10(lr / best))
            lost = lr > 9 * best or status == "diverged"
            loss, metric = _end(valley, skill - 0.12 * away, rng)
            trial_rows.append(common | {
                "seed": 1000 + index, "lr": lr, "status": "diverged" if lost else "ok",
                "error": "loss not finite" if lost else None, "trial": index,
                "valid_loss": math.nan if lost else loss, "valid_metric": math.nan if lost else metric,
                "cost": 2000.0 if lost else 6000.0, "seconds": 1.5,
            })  # fmt: skip
        if status != "ok":
            continue
        for tuned, seed in itertools.product((True, False), range(seeds)):
            lost = tuned and seed == 1 and (problem, optimizer, batch) in DIVERGED
            lr = best if tuned else default
            away = abs(math.log10(lr / best))
            final, metric = _end(valley, skill - 0.12 * away, rng)
            about = common | {
                "seed": seed, "lr": lr, "status": "diverged" if lost else "ok",
                "error": "loss not finite at step 40" if lost else None,
            }  # fmt: skip
            first = 50.0 if valley else 2.303
            costs = np.linspace(0, 6000, points)[: points // 2 if lost else points]
            progress = costs / 6000
            losses = final + (first - final) * np.exp(-6 * skill * progress) * (1 + 0.05 * rng.normal(size=len(costs)))
            losses[0] = first
            if lost:
                losses[-3:-1] *= (4, 80)
                losses[-1] = math.inf
            reached = not lost and (metric < 1e-3 if valley else metric > 0.9)
            curve_rows += [
                about | {"kind": "run", "trial": -1, "tuned": tuned, "step": int(cost / batch), "cost": cost,
                         "seconds": cost / 4000, "train_loss": loss * 0.98, "valid_loss": loss,
                         "valid_metric": metric}
                for cost, loss in zip(costs, losses, strict=True)
            ]  # fmt: skip
            nan = math.nan
            run_rows.append(about | {
                "steps": 6000 // batch, "examples": 6000, "cost": 6000.0, "forwards": 60, "backwards": 60,
                "train_loss": nan if lost else final, "valid_loss": nan if lost else final,
                "valid_metric": nan if lost else metric, "test_loss": nan if lost else final * 1.01,
                "test_metric": nan if lost else metric * 0.99, "target_reached": reached,
                "steps_to_target": 30.0 if reached else nan, "cost_to_target": 3000.0 + seed if reached else nan,
                "seconds_to_target": 0.8 if reached else nan, "train_seconds": 1.4, "eval_seconds": 0.2,
                "step_ms": 1.0 + skill, "peak_memory_bytes": nan, "optimizer_state_bytes": 1000, "tuned": tuned,
            })  # fmt: skip
            if valley:
                path_rows += _path(about | {"tuned": tuned}, skill, lost, batch, rng)
    paths = pd.DataFrame(path_rows, columns=[*COMMON, "tuned", "step", "x", "y"])
    return Frames(*map(pd.DataFrame, (run_rows, trial_rows, curve_rows, cell_rows)), paths)


def _end(valley: bool, quality: float, rng: np.random.Generator) -> tuple[float, float]:
    """Final validation loss and metric of a training of this quality (about 0 to 1)."""
    if valley:
        excess = 10 ** (-4 * quality + 0.2 * rng.normal())
        return 1.5 + excess, excess
    loss = 10 ** (-0.8 * quality + 0.03 * rng.normal())
    return loss, float(np.clip(1.05 - 0.45 * loss, 0.1, 0.995))


def _path(about: dict, skill: float, lost: bool, batch: int, rng: np.random.Generator) -> list[dict]:
    """A path to the minimum at (0, 0) of the valley from (-4, 1.2), noisier for small batches."""
    steps = np.arange(6000 // batch + 1)
    x = -4 * np.exp(-0.02 * skill * steps * batch / 32)
    y = 1.2 * np.exp(-0.05 * steps) * np.cos(steps * (0.4 + skill))
    noise = 0.6 / batch**0.5 * (steps > 0)
    x, y = x + noise * rng.normal(size=len(steps)), y + 0.2 * noise * rng.normal(size=len(steps))
    if lost:
        x, y, steps = x[:40], (y * 1.15**steps)[:40], steps[:40]
    return [about | {"step": int(s), "x": a, "y": b} for s, a, b in zip(steps, x, y, strict=True)]


def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives x of shape (80,), y of shape (60,) and the valley's value of shape (60, 80)."""
    x, y = np.linspace(-5, 3, 80), np.linspace(-2, 2, 60)
    return x, y, 0.5 * (x[None, :] ** 2 + 20 * y[:, None] ** 2)
