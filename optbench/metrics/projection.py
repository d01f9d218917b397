"""Whether the lower rungs of a ladder predict the highest one: saturating power laws, tested on a held-out rung."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.ladders import HORIZON, LADDER, SIZE, Rung, ladders, loss_matrix
from optbench.statistics.scaling import project

INSIDE, OUTSIDE, UNTESTED = "inside", "outside", "untested"
COLUMNS = [
    *LADDER, "optimizer", "axis", "size", "run_budget", "rungs", "n", "at", "predicted", "low", "high", "observed",
    "test", "limit", "exponent",
]  # fmt: skip


def projection(runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns the projected losses of each optimizer along each axis of a ladder.

    The law L(x) = E + A x⁻ᵇ is fitted to the `rungs` below (see `statistics.scaling.project`), where x is the run
    budget (axis `horizon`, at a fixed `size`) or the size (at a fixed `run_budget`). There are two rows:

    - *held out*: all rungs but the highest one predict its loss, with an interval (95 %) for the mean over as many
      seeds. `observed` is what it was, `test` whether it is inside. This needs three rungs.
    - *further*: all rungs predict the loss at the next rung, as far beyond the highest one as that is above the one
      below it. `observed` is missing, and `test` is that of the held-out rung, or `untested`.

    Args:
        runs: Frame of runs (see `optbench.load`).
        cells: Frame of cells.
    """
    rows = []
    for ladder in ladders(runs, cells):
        for optimizer, rungs in ladder.rungs.items():
            for line in _lines([rung for rung in rungs if rung.usable]):
                rows += [{**ladder.key, "optimizer": optimizer, **row} for row in line]
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = ["size", "run_budget", "at", "predicted", "low", "high", "observed", "limit", "exponent"]
    return table.astype({**dict.fromkeys(numbers, "float64"), "rungs": "Int64", "n": "Int64"})


def projection_sentence(table: pd.DataFrame) -> str:
    """Returns how often the held-out rung was inside its interval, in a sentence; empty without any projection."""
    if table.empty:
        return ""
    tested = table[table["observed"].notna()]
    if tested.empty:
        return "No projection is tested: with fewer than three rungs, none can be held out."
    inside = int((tested["test"] == INSIDE).sum())
    return (
        f"The lower rungs predict the held-out highest rung: its loss is inside the 95 % interval in {inside} of "
        f"{len(tested)} cases."
    )


def _lines(rungs: Sequence[Rung]) -> Iterator[list[dict[str, Any]]]:
    """Yields the rows of each line of rungs, along which one axis varies and the other is fixed."""
    for axis, fixed in ((HORIZON, 0), (SIZE, 1)):
        for value in sorted({rung.place[fixed] for rung in rungs}):
            own = [rung for rung in rungs if rung.place[fixed] == value]
            if len(own) > 1 and len(logs := loss_matrix(own)) and logs.shape[1] > 1:
                yield _rows(axis, own, logs)


def _rows(axis: str, rungs: Sequence[Rung], logs: np.ndarray) -> list[dict[str, Any]]:
    x, losses = np.array([rung.cost if axis == HORIZON else rung.size for rung in rungs]), np.exp(logs)
    size, budget = (rungs[0].size, np.nan) if axis == HORIZON else (np.nan, rungs[0].run_budget)
    common = {"axis": axis, "size": size, "run_budget": budget, "n": logs.shape[1]}
    rows, test = [], UNTESTED
    if len(rungs) > 2:
        found, observed = project(x[:-1], losses[:-1], x[-1]), float(np.exp(logs[-1].mean()))
        test = INSIDE if found.low <= observed <= found.high else OUTSIDE
        rows.append({**common, "rungs": len(rungs) - 1, "at": x[-1], "observed": observed, "test": test, **_law(found)})
    further = x[-1] ** 2 / x[-2]
    rows.append(
        {**common, "rungs": len(rungs), "at": further, "test": test, **_law(project(x, losses, float(further)))}
    )
    return rows


def _law(found: Any) -> dict[str, float]:
    figures = {name: getattr(found, name) for name in ("low", "high", "limit", "exponent")}
    return {"predicted": found.loss, **figures}
