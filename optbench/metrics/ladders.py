"""The ladders of a matrix: the same problem in several sizes or with several run budgets, each of them a rung."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import drop_copied_runs, select_runs

#: The columns that identify a ladder.
LADDER = ["ladder", "batch_size", "device", "schedule"]
HORIZON, SIZE = "horizon", "size"


@dataclass(frozen=True)
class Rung:
    """The runs of one optimizer on one rung of a ladder.

    Attributes:
        problem: The label of the problem.
        size: The size, NaN if the ladder has none.
        run_budget: The run budget, in example gradients.
        cost: Mean cost of a run, in example gradients.
        seconds: Mean seconds per example gradient; NaN if they are not known.
        losses: The losses at the end by seed: on test data, or on validation data if the problem has none.
        failed: Number of runs without a loss.
    """

    problem: str
    size: float
    run_budget: float
    cost: float
    seconds: float
    losses: pd.Series
    failed: int

    @property
    def place(self) -> tuple[float, float]:
        """Size and run budget, which identify the rung on its ladder; a missing size is 0."""
        return (0.0 if np.isnan(self.size) else self.size, self.run_budget)

    @property
    def usable(self) -> bool:
        """Whether all runs have a loss above 0, which has a logarithm."""
        return not self.failed and bool((self.losses > 0).all()) and len(self.losses) > 0


@dataclass(frozen=True)
class Ladder:
    """The rungs of a ladder, from the lowest one to the highest, by optimizer."""

    key: dict[str, Any]
    rungs: dict[str, list[Rung]]


def ladders(runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[Ladder]:
    """Yields the ladders with at least two rungs.

    Args:
        runs: Frame of runs.
        cells: Frame of cells. Those of older versions, without the column `ladder`, have none.
    """
    if "ladder" not in cells or cells.empty:
        return
    finished = cells[cells["run_budget"].notna() & (cells["ladder"].fillna("") != "")].drop_duplicates("cell_id")
    groups = [
        (key, group)
        for key, group in finished.groupby(LADDER, observed=True, sort=False)
        if len(group[["size", "run_budget"]].drop_duplicates()) > 1
    ]
    if not groups:
        return  # as in most results, whose runs need not be selected
    chosen = drop_copied_runs(select_runs(runs, cells))
    by_cell = dict(tuple(chosen.groupby("cell_id", observed=True, sort=False)))
    for key, group in groups:
        rungs: dict[str, list[Rung]] = {}
        for cell in group.to_dict("records"):
            if cell["cell_id"] in by_cell:
                rungs.setdefault(str(cell["optimizer"]), []).append(_rung(cell, by_cell[cell["cell_id"]]))
        for own in rungs.values():
            own.sort(key=lambda rung: rung.place)
        yield Ladder(dict(zip(LADDER, key, strict=True)), rungs)


def _rung(cell: dict[Any, Any], runs: pd.DataFrame) -> Rung:
    loss = "test_loss" if runs["test_loss"].notna().any() else "valid_loss"
    ended = runs[(runs["status"] == "ok") & np.isfinite(runs[loss].astype(float))]
    seconds = ended["step_ms"] * ended["steps"] / 1e3 / ended["cost"]
    return Rung(
        problem=str(cell["problem"]),
        size=float(cell["size"]) if pd.notna(cell["size"]) else float("nan"),
        run_budget=float(cell["run_budget"]),
        cost=float(ended["cost"].mean()),
        seconds=float(seconds.astype(float).mean()),
        losses=ended.set_index("seed")[loss].astype(float),
        failed=len(runs) - len(ended),
    )


def loss_matrix(rungs: Sequence[Rung]) -> np.ndarray:
    """Returns the logarithms of the losses on the seeds that all rungs have, (rungs, seeds)."""
    if not rungs:
        return np.empty((0, 0))
    frame = pd.concat([rung.losses for rung in rungs], axis=1, join="inner").sort_index()
    return np.log(frame.to_numpy(float).T)
