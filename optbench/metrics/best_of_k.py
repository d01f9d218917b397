"""How good a rate a tuning budget finds: the best of k trials against what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import CELL
from optbench.statistics.best_of import expected_best, median_best

#: Trials of this sampler are independent draws from one distribution; those of all others are not.
INDEPENDENT = "random"
_COLUMNS = ["cell_id", *CELL, "method", "k", "cost", "run_budgets", "best", "median_best", "trials", "diverged"]


def best_of_k(trials: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The best validation loss that k trials find, one row a cell and k.

    `method` says what `best` is. `expected`: the mean of the best of k random trials, by the unbiased
    U-statistic, with `median_best` beside it, which has a value also where trials diverged; trial 0, the
    default rate, is no random draw and left out, and the cost of k is k times a trial's mean. `running`: the
    best of the first k trials of the one study there is, against what they were charged. That is all
    that can be said of a sequential sampler (its trials depend on each other; only repeating whole studies would
    tell how much luck was in it), and of random trials whose range was extended or that were pruned on the way.

    A diverged trial is infinitely bad. `cost` is in example gradients, `run_budgets` the same in run budgets.
    """
    by_cell = {cell["cell_id"]: cell for cell in cells.to_dict("records")}
    trials = trials[trials["cell_id"].isin(list(by_cell))].drop_duplicates(["cell_id", "trial"])
    trials = trials.sort_values(["cell_id", "trial"], kind="stable").reset_index(drop=True)
    loss = trials["valid_loss"].to_numpy(dtype=float, na_value=np.nan)
    loss = np.where((trials["status"] == "ok").to_numpy() & np.isfinite(loss), loss, np.inf)
    cost, number = trials["cost"].to_numpy(dtype=float), trials["trial"].to_numpy(dtype=np.int64)
    pruned = (trials["status"] == "skipped").to_numpy()
    curves: list[dict[str, Any]] = []
    places: list[np.ndarray] = []
    for cell_id, own in trials.groupby("cell_id", observed=True, sort=False).indices.items():
        independent = _independent(by_cell[cell_id]) and not pruned[own].any()
        kept = np.asarray(own)
        kept = kept[number[kept] > 0] if independent else kept
        curves.append(_curve(loss[kept], cost[kept], independent) | {"budget": by_cell[cell_id]["run_budget"]})
        places.append(kept)
    if not curves:
        return pd.DataFrame(columns=_COLUMNS)
    lengths = [len(kept) for kept in places]
    columns = {
        name: np.concatenate([curve[name] for curve in curves]) for name in ("k", "cost", "best", "median_best")
    } | {name: np.repeat([curve[name] for curve in curves], lengths) for name in ("method", "trials", "diverged")}
    budget = np.repeat([float(curve["budget"]) for curve in curves], lengths)
    about = trials[["cell_id", *CELL]].iloc[np.concatenate(places)].reset_index(drop=True)
    table = about.assign(**columns, run_budgets=columns["cost"] / budget)
    return table.sort_values([*CELL, "k"], ignore_index=True)[_COLUMNS]


def _curve(loss: np.ndarray, cost: np.ndarray, independent: bool) -> dict[str, Any]:
    """The columns of one cell, from its trials in their order."""
    about: dict[str, Any] = {
        "k": np.arange(1, len(loss) + 1), "trials": len(loss), "diverged": int(np.isinf(loss).sum()),
        "method": "expected" if independent else "running",
    }  # fmt: skip
    if independent:
        mean = cost.mean() if len(cost) else np.nan
        return about | {"cost": about["k"] * mean, "best": expected_best(loss), "median_best": median_best(loss)}
    best = np.minimum.accumulate(loss)
    best = np.where(np.isfinite(best), best, np.nan)
    return about | {"cost": np.cumsum(cost), "best": best, "median_best": np.full(len(loss), np.nan)}


def _independent(cell: dict[Any, Any]) -> bool:
    """Whether the trials after the default's were drawn from one distribution."""
    unchanged = all(
        pd.isna(cell[f"{end}_searched"]) or np.isclose(cell[f"{end}_searched"], cell[end], rtol=1e-9)
        for end in ("lr_low", "lr_high")
    )
    return bool(cell.get("sampler") == INDEPENDENT and unchanged)
