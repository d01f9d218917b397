"""How far a cell has come, for `status`: of a finished one, what its result says, and nothing else is read.

A matrix may have 100,000 cells, and a file takes as long to open as a result to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optbench.budget import THIRDS
from optbench.results.store import CellStore, state_of


@dataclass(frozen=True)
class Standing:
    """Costs are in example gradients; `budget` is None where it isn't known yet."""

    state: str
    trials: int
    spent: float
    budget: float | None
    runs: int
    error: str


def standing(store: CellStore, cell: dict[str, Any], seeds: Sequence[int], studies: int) -> Standing:
    """Where a planned cell stands, for these seeds and this number of studies."""
    result = store.result()
    state = state_of(result, seeds, studies)
    result = result or {}
    if state == "done" and "trials" in result:
        # With a result that is `ok` all runs are there; were they damaged, `run` would say so.
        runs = len(seeds) * (2 if cell["tuned"] else 1)
        trials, spent = result["trials"], result["tuning_cost"]
    else:
        records = store.trials()
        trials, spent = len(records), sum(trial["thirds"] for trial in records) / THIRDS
        runs = sum(store.run(seed, tuned) is not None for seed in seeds for tuned in (True, False))
    return Standing(state, trials, spent, result.get("tuning_budget"), runs, result.get("error") or "")
