"""The best validation loss of k trials against their cost: what a tuning budget buys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.tuning_budget import list_races
from optbench.results.stored import CELL
from optbench.statistics.best_of import mean_best, median_best
from optbench.statistics.intervals import median_interval

#: The only sampler whose trials are independent draws from one distribution.
INDEPENDENT = "random"
_COLUMNS = [
    "cell_id", *CELL, "method", "k", "cost", "run_budgets", "best", "best_low", "best_high", "median_best", "studies",
    "trials", "diverged",
]  # fmt: skip


def best_of_k(trials: pd.DataFrame, cells: pd.DataFrame, studies: pd.DataFrame | None = None) -> pd.DataFrame:
    """Returns the best validation loss that k trials reach, one row per cell and k.

    `method` says what `best` is:

    - `expected`: the mean best of k random trials, by the unbiased U-statistic; `median_best` is finite even if few
      trials diverged. Trial 0, the default rate, is not random and is left out. The cost of k is k times a trial's
      mean.
    - `running`: the best of the first k trials of a single tuning, against their cost. Used for sequential samplers,
      whose trials depend on each other, and for random trials if the range was extended or trials were pruned.
    - `repeated`: the mean best over several tunings within a cost of k run budgets; `median_best` is their median, with
      its 95 % interval from `best_low` to `best_high` (with at least six tunings). Each is missing if it is infinite.

    Cells that were tuned by a race (see `list_races`) are left out: most of their trials have no loss at the end of a
    training. A diverged
    trial has an infinite loss. `cost` is in example gradients, `run_budgets` in run budgets.

    Args:
        trials: Frame of the trials that chose the learning rates.
        cells: Frame of cells.
        studies: Frame of the trials of repeated tunings.
    """
    by_cell = {cell["cell_id"]: cell for cell in cells.to_dict("records")}
    every = trials.assign(study=0)
    if studies is not None and len(studies):
        every = pd.concat([every, studies])
    every = every[every["cell_id"].isin(set(by_cell) - list_races(every, cells))].drop_duplicates(
        ["cell_id", "study", "trial"]
    )
    every = every.sort_values(["cell_id", "study", "trial"], kind="stable").reset_index(drop=True)
    loss = every["valid_loss"].to_numpy(dtype=float, na_value=np.nan)
    loss = np.where((every["status"] == "ok").to_numpy() & np.isfinite(loss), loss, np.inf)
    cost, number = every["cost"].to_numpy(dtype=float), every["trial"].to_numpy(dtype=np.int64)
    pruned, study = (every["status"] == "skipped").to_numpy(), every["study"].to_numpy(dtype=np.int64)
    curves: list[dict[str, Any]] = []
    first: list[int] = []
    for cell_id, indices in every.groupby("cell_id", observed=True, sort=False).indices.items():
        cell, own = by_cell[cell_id], np.asarray(indices)
        # A study that was interrupted has not used its budget.
        own = own[(study[own] == 0) | (study[own] < cell.get("studies", 1))]
        if len(own) == 0:
            continue
        if _is_independent(cell) and not pruned[own].any():
            own = own[number[own] > 0]
            curve = _random_curve(loss[own], cost[own])
        elif study[own].max() > 0 and np.isfinite(float(cell["tuning_budget"]) * float(cell["run_budget"])):
            parts = [own[study[own] == number] for number in np.unique(study[own])]
            curve = _study_curve([loss[part] for part in parts], [cost[part] for part in parts], cell)
        else:
            own = own[study[own] == 0]
            curve = _running_curve(loss[own], cost[own])
        about = {"trials": len(own), "diverged": int(np.isinf(loss[own]).sum()), "studies": len(np.unique(study[own]))}
        rows = len(curve["k"])
        curves.append(curve | {name: np.full(rows, value) for name, value in about.items()})
        curves[-1]["run_budgets"] = curve["cost"] / float(cell["run_budget"])
        first.append(int(indices[0]))
    if not curves:
        return pd.DataFrame(columns=_COLUMNS)
    columns = {name: np.concatenate([curve[name] for curve in curves]) for name in curves[0]}
    lengths = [len(curve["k"]) for curve in curves]
    about_cells = every[["cell_id", *CELL]].iloc[np.repeat(first, lengths)].reset_index(drop=True)
    return about_cells.assign(**columns).sort_values([*CELL, "k"], ignore_index=True)[_COLUMNS]


def _columns(method: str, k: np.ndarray, cost: np.ndarray, best: np.ndarray, **more: np.ndarray) -> dict[str, Any]:
    missing = np.full(len(k), np.nan)
    return {
        "method": np.full(len(k), method, dtype=object), "k": k, "cost": cost, "best": best,
        "best_low": more.get("low", missing), "best_high": more.get("high", missing),
        "median_best": more.get("median", missing),
    }  # fmt: skip


def _random_curve(loss: np.ndarray, cost: np.ndarray) -> dict[str, Any]:
    k = np.arange(1, len(loss) + 1)
    mean = cost.mean() if len(cost) else np.nan
    return _columns("expected", k, k * mean, mean_best(loss), median=median_best(loss))


def _running_curve(loss: np.ndarray, cost: np.ndarray) -> dict[str, Any]:
    best = _mask_nonfinite(np.minimum.accumulate(loss))
    return _columns("running", np.arange(1, len(loss) + 1), np.cumsum(cost), best)


def _study_curve(losses: Sequence[np.ndarray], costs: Sequence[np.ndarray], cell: dict[Any, Any]) -> dict[str, Any]:
    """Returns the mean and median over studies of the best loss within each whole number of run budgets."""
    budget = float(cell["run_budget"])
    k = np.arange(1, int(np.floor(float(cell["tuning_budget"]) / budget + 1e-9)) + 1)
    best = np.stack([_best_by_cost(k * budget, loss, cost) for loss, cost in zip(losses, costs, strict=True)])
    low, high = median_interval(best)
    median = np.median(best, axis=0)
    mean = best.mean(axis=0)
    return _columns(
        "repeated",
        k,
        k * budget,
        _mask_nonfinite(mean),
        low=_mask_nonfinite(low),
        high=_mask_nonfinite(high),
        median=_mask_nonfinite(median),
    )


def _best_by_cost(cost: np.ndarray, loss: np.ndarray, charged: np.ndarray) -> np.ndarray:
    """Returns the best loss of the trials that ended by each cost; infinite before the first one."""
    best = np.concatenate([[np.inf], np.minimum.accumulate(loss)])
    # With a tolerance for rounding: costs are sums of thirds.
    return best[np.searchsorted(np.cumsum(charged), cost * (1 + 1e-9), side="right")]


def _mask_nonfinite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _is_independent(cell: dict[Any, Any]) -> bool:
    """Whether all trials except the default one were drawn from one distribution."""
    unchanged = all(
        pd.isna(cell[f"{end}_searched"]) or math.isclose(cell[f"{end}_searched"], cell[end], rel_tol=1e-9)
        for end in ("lr_low", "lr_high")
    )
    return bool(cell.get("sampler") == INDEPENDENT and unchanged)
