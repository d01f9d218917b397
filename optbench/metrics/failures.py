"""Failed trials, runs and cells, with their last losses."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from optbench.formatting import format_number
from optbench.metrics.compared import drop_repeated_runs
from optbench.results.stored import CELL

#: The number of last evaluations that are listed.
TAIL = 5
#: Statuses of failures. A tuned run is `skipped`, which counts as a failure, if no trial of its cell succeeded.
FAILED = ("diverged", "oom", "timeout", "error", "skipped")
COLUMNS = [
    *CELL, "kind", "trial", "seed", "tuned", "lr", "status", "error", "initial_loss", "last_step", "last_cost",
    "tail",
]  # fmt: skip


def failures(trials: pd.DataFrame, runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per failed trial, run or cell; an empty frame if nothing failed.

    `kind` is `trial`, `run` or `cell` (failed before its first run). `tail` lists the last `TAIL` validation losses,
    the oldest first; `last_step` and `last_cost` are those of the last evaluation. Pruned trials (`skipped`) did not
    fail.

    Args:
        trials: Frame of trials.
        runs: Frame of runs.
        curves: Frame of curves.
        cells: Frame of cells.
    """
    # Concatenated frames may hold a failure twice.
    trials, runs = trials.drop_duplicates(["cell_id", "trial"]), drop_repeated_runs(runs)
    cells = cells.drop_duplicates("cell_id")
    lost_trials = trials[trials["status"].isin(FAILED[:-1])].assign(kind="trial", tuned=False)
    lost_runs = runs[runs["status"].isin(FAILED)].assign(kind="run", trial=-1)
    rowless = cells["status"].isin(FAILED[:-1]) & ~cells["cell_id"].isin(lost_runs["cell_id"])
    lost_cells = cells[rowless].assign(kind="cell", trial=-1)
    keys = ["cell_id", "kind", "trial", "seed", "tuned"]
    parts = [part.reindex(columns=["cell_id", *COLUMNS[:-4]]) for part in (lost_trials, lost_runs, lost_cells)]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=COLUMNS).astype({"tail": object})
    table = pd.concat(parts, ignore_index=True)
    # Only the curves of failures: the others may have millions of points.
    own = curves[curves["cell_id"].isin(table["cell_id"]) & (curves["status"] != "ok")]
    own = own.drop_duplicates([*keys, "step"]).sort_values("step", kind="stable")
    ends = {key: _describe_end(curve) for key, curve in own.groupby(keys, observed=True)}
    rows = [ends.get(tuple(row), {}) for row in table[keys].itertuples(index=False, name=None)]
    ended = pd.DataFrame(rows, index=table.index, columns=COLUMNS[-4:])
    table = pd.concat([table, ended], axis=1).reindex(columns=COLUMNS)
    for name in ("trial", "seed", "last_step"):
        table[name] = table[name].astype("Int64")
    table["tail"] = table["tail"].astype(object).fillna("").astype("str")
    return table.sort_values([*CELL, "kind", "trial", "seed"], ignore_index=True)


def _describe_end(curve: pd.DataFrame) -> dict[str, Any]:
    losses, steps = curve["valid_loss"].to_numpy(dtype=float, na_value=math.nan), curve["step"].to_numpy()
    return {
        "initial_loss": losses[0] if steps[0] == 0 else None,
        "last_step": steps[-1],
        "last_cost": curve["cost"].to_numpy()[-1],
        "tail": ", ".join("not finite" if math.isnan(loss) else format_number(loss, 3) for loss in losses[-TAIL:]),
    }
