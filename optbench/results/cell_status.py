"""The progress of a cell, for `optbench status`.

For a finished cell only its result is needed: a matrix may have 100,000 cells, and every file opened takes time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optbench.budget import THIRDS, UNTUNED_SEEDS
from optbench.results.store import FAILED, CellStore, derive_state


@dataclass(frozen=True)
class CellProgress:
    """State and progress of a cell: trials and runs that exist, cost spent on tuning, first error.

    `spent` and `budget` are in example gradients; `budget` is None if it is not known yet.
    """

    state: str
    trials: int
    spent: float
    budget: float | None
    runs: int
    error: str


def describe_lack(result: dict[str, Any] | None, seeds: Sequence[int]) -> str:
    """Returns `incomplete: 5 of 7 seeds` for a cell that was finished with fewer seeds; empty for all others.

    Args:
        result: The cell's result, or None if it is not finished.
        seeds: Seeds of the final runs that it should have.
    """
    if result is None or result["status"] in FAILED:
        return ""
    stored = len(set(seeds) & set(result["seeds"]))
    return f"incomplete: {stored} of {len(seeds)} seeds" if 0 < stored < len(seeds) else ""


def read_progress(
    store: CellStore,
    cell: dict[str, Any],
    seeds: Sequence[int],
    studies: int,
    result: dict[str, Any] | None = None,
) -> CellProgress:
    """Reads the progress of a planned cell.

    Args:
        store: The cell's folder.
        cell: The cell's entry in the plan.
        seeds: Seeds of the final runs.
        studies: Number of tunings of the cell.
        result: The cell's result, if it was read already.
    """
    result = result or store.result()
    state = derive_state(result, seeds, studies)
    result = result or {}
    if state == "done" and "trials" in result:
        # A result that is `ok` implies that all runs exist; `run` reports damaged ones.
        runs = len(seeds) + (min(len(seeds), UNTUNED_SEEDS) if cell["tuned"] else 0)
        trials, spent = result["trials"], result["tuning_cost"]
    else:
        records = store.trials()
        trials, spent = len(records), sum(trial["thirds"] for trial in records) / THIRDS
        runs = sum(store.run(seed, tuned) is not None for seed in seeds for tuned in (True, False))
    return CellProgress(state, trials, spent, result.get("tuning_budget"), runs, result.get("error") or "")
