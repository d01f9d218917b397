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
    trials = trials.drop_duplicates(["cell_id", "trial"]).sort_values(["cell_id", "trial"], kind="stable")
    frames = []
    for cell_id, own in trials.groupby("cell_id", observed=True, sort=False):
        if cell_id in by_cell:
            frames.append(_curve(own, by_cell[cell_id]))
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_COLUMNS)
    return table.sort_values([*CELL, "k"], ignore_index=True)[_COLUMNS]


def _curve(trials: pd.DataFrame, cell: dict[Any, Any]) -> pd.DataFrame:
    cost = trials["cost"].to_numpy(dtype=float)
    loss = trials["valid_loss"].to_numpy(dtype=float, na_value=np.nan)
    loss = np.where((trials["status"] == "ok").to_numpy() & np.isfinite(loss), loss, np.inf)
    about: dict[Any, Any] = {name: trials[name].iloc[0] for name in ["cell_id", *CELL]}
    if _independent(trials, cell):
        drawn = (trials["trial"] > 0).to_numpy()
        loss, cost = loss[drawn], cost[drawn]
        k = np.arange(1, len(loss) + 1)
        about |= {"method": "expected", "best": expected_best(loss), "median_best": median_best(loss)}
        charged = k * (cost.mean() if len(cost) else np.nan)
    else:
        k = np.arange(1, len(loss) + 1)
        best = np.minimum.accumulate(loss)
        about |= {"method": "running", "best": np.where(np.isfinite(best), best, np.nan), "median_best": np.nan}
        charged = np.cumsum(cost)
    return pd.DataFrame(
        about
        | {"k": k, "cost": charged, "run_budgets": charged / float(cell["run_budget"]), "trials": len(loss)}
        | {"diverged": int(np.isinf(loss).sum())}
    )


def _independent(trials: pd.DataFrame, cell: dict[Any, Any]) -> bool:
    """Whether the trials after the default's are draws from one distribution, each trained to its end."""
    unchanged = all(
        pd.isna(cell[f"{end}_searched"]) or np.isclose(cell[f"{end}_searched"], cell[end], rtol=1e-9)
        for end in ("lr_low", "lr_high")
    )
    return bool(cell.get("sampler") == INDEPENDENT and unchanged and not (trials["status"] == "skipped").any())
