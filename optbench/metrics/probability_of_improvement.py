"""The probability that one optimizer beats another on a new seed of these problems, for every pair."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.losses import seed_losses, tasks
from optbench.statistics.equality import are_equal
from optbench.statistics.paired import share

COLUMNS = ["optimizer", "other", "probability", "probability_low", "probability_high", "n_pairs", "tasks", "meaningful"]


def probability_of_improvement(runs: pd.DataFrame, cells: pd.DataFrame, metric: str = "test_metric") -> pd.DataFrame:
    """Returns one row per ordered pair of optimizers: the share of paired seeds on which the first is better.

    Ties count half. The bounds are Clopper and Pearson's (see `statistics.paired.share`). A seed of a problem is one
    observation: its score is the share of the problem's batch sizes, devices and schedules on which the first optimizer
    is better. The bounds are about other seeds on these problems. `meaningful` is the criterion of Bouthillier et al.
    (2021): a lower bound above 0.5 and an upper bound above 0.75. Seeds that repeat another one are counted
    once.

    Args:
        runs: Frame of runs.
        cells: Frame of cells.
        metric: One of `metrics.METRICS`.

    Raises:
        UserError: The metric is unknown, or a frame lacks a column.
    """
    frame = seed_losses(runs, cells, metric)
    names = sorted(str(name) for name in frame["optimizer"].unique())
    scores, number = _scores(frame, names)
    rows: list[dict[str, Any]] = []
    for (first, one), (second, other) in itertools.combinations(enumerate(names), 2):
        observed = scores[:, first, second]
        observed = observed[~np.isnan(observed)]
        probability, low, high = share(observed)
        about = {"n_pairs": len(observed), "tasks": int(number[first, second])}
        rows.append({"optimizer": one, "other": other, **_columns(probability, low, high), **about})
        rows.append({"optimizer": other, "other": one, **_columns(1 - probability, 1 - high, 1 - low), **about})
    table = pd.DataFrame(rows, columns=COLUMNS)
    bounds = ["probability", "probability_low", "probability_high"]
    table = table.astype(dict.fromkeys(bounds, "float64") | {"n_pairs": "int64", "tasks": "int64"})
    table["meaningful"] = (table["probability_low"] > 0.5) & (table["probability_high"] > 0.75)
    return table.sort_values(["optimizer", "other"], ignore_index=True)


def _scores(frame: pd.DataFrame, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scores of all seeds and pairs, and the number of tasks of each pair.

    Args:
        frame: The frame of `seed_losses`.
        names: The k optimizers.

    Returns:
        The share of tasks on which the first optimizer is better, of shape (problems × seeds, k, k), NaN without a
        pair; and the number of tasks on which two optimizers have a pair, of shape (k, k).
    """
    sums: dict[tuple[str, int], np.ndarray] = {}
    counts: dict[tuple[str, int], np.ndarray] = {}
    number = np.zeros((len(names), len(names)), dtype=int)
    for group, losses, copies in tasks(frame):
        loss = losses.reindex(columns=names).to_numpy(dtype=float)
        both = ~np.isnan(loss)[:, :, None] & ~np.isnan(loss)[:, None, :]
        both &= ~_find_copies(copies.reindex(columns=names).to_numpy(dtype=float), losses.index.to_numpy())
        tied = are_equal(loss[:, :, None], loss[:, None, :])
        better = np.where(tied, 0.5, loss[:, :, None] < loss[:, None, :])
        number += both.any(axis=0)
        for row, seed in enumerate(losses.index):
            key = str(group["problem"]), int(seed)
            sums[key] = sums.get(key, 0.0) + np.where(both[row], better[row], 0.0)
            counts[key] = counts.get(key, 0) + both[row]
    if not sums:
        return np.empty((0, len(names), len(names))), number
    total, count = np.stack(list(sums.values())), np.stack(list(counts.values()))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), number


def _find_copies(copies: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Returns whether a pair repeats an earlier seed: copies of shape (seeds, k) to (seeds, k, k)."""
    n, k = copies.shape
    repeated = np.zeros((n, k, k), dtype=bool)
    # Only rows with copies, of which there are usually none.
    for row in np.flatnonzero((copies != seeds[:, None]).any(axis=1) & (np.arange(n) > 0)):
        same = copies[:row] == copies[row]
        repeated[row] = (same[:, :, None] & same[:, None, :]).any(axis=0)
    return repeated


def _columns(probability: float, low: float, high: float) -> dict[str, float]:
    return {"probability": probability, "probability_low": low, "probability_high": high}
