"""Curves for the page: each seed and the median with its band, thinned and rounded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import ENOUGH_FOR_INTERVALS, drop_copied_runs, select_runs
from optbench.metrics.shared_costs import align_costs

MEASURES = ("valid_loss", "valid_metric")
#: Significant digits of drawn values: of medians with their bands, and of the thin lines of seeds. Tables keep all
#: digits.
DIGITS, SEED_DIGITS = 5, 4


class _Seed:
    """The curve of one seed as arrays in ascending order of cost. Access to frames would dominate the run time."""

    def __init__(self, seed: int, curve: pd.DataFrame) -> None:
        self.seed, self.failed = seed, bool(curve["status"].iloc[0] != "ok")
        self.cost = curve["cost"].to_numpy(dtype=float)
        self.measured = {measure: curve[measure].to_numpy(dtype=float) for measure in MEASURES}

    def at(self, costs: np.ndarray, measure: str, worst: float) -> np.ndarray:
        """The latest values at these costs; `worst` (an infinity) before the first one and after a failure."""
        value = np.where(np.isfinite(self.measured[measure]), self.measured[measure], worst)
        latest = np.searchsorted(self.cost, costs, side="right") - 1
        values = np.where(latest < 0, worst, value[np.maximum(latest, 0)])
        if self.failed:
            values[costs > self.cost[-1]] = worst
        return values

    def lines(self, costs: np.ndarray, measure: str) -> list[dict[str, Any]]:
        """The line to draw, in a list; empty if no value is finite."""
        finite = np.isfinite(self.measured[measure])
        if not finite.any():
            return []
        value, at = self.measured[measure][finite], np.searchsorted(costs, self.cost[finite])
        places = thin_series(value)
        line = {"seed": self.seed, **_at(at[places], len(costs)), "is": _round(value[places], SEED_DIGITS)}
        return [line | {"failed": True} if self.failed else line]


def band(values: np.ndarray, worst: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The median over seeds and the limits of the band around it.

    Args:
        values: One row per seed, one column per cost; a failed seed has the value `worst`.
        worst: The infinity that stands for a failed seed.

    Returns:
        Median, low and high, one value per cost. The band covers all finite seeds, or their quartiles from ten seeds
        on. Where the median falls on a failed seed, all three are NaN.
    """
    middle = np.median(values, axis=0)
    known = np.isfinite(middle)
    finite = np.where(np.isfinite(values), values, np.nan)
    low, high = np.full(len(middle), np.nan), np.full(len(middle), np.nan)
    if known.any():
        if len(values) >= ENOUGH_FOR_INTERVALS:
            low[known], high[known] = np.nanpercentile(finite[:, known], [25, 75], axis=0)
        else:
            low[known], high[known] = np.nanmin(finite[:, known], axis=0), np.nanmax(finite[:, known], axis=0)
    return np.where(known, middle, np.nan), low, high


def curves_json(curves: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> str:
    """The curves of the compared runs as a JSON object by cell id.

    An entry is `{"cost": […], "step": […], "valid_loss": {"median": …, "seeds": …}, …}`. `cost` (in example
    gradients) and `step` are the evaluations of the cell. Each line has its values `is` (the median also `low` and
    `high`) and the indices `at` of these values in `cost`, unless it has one value for each. The median is taken at
    the costs of `align_costs`. Seconds are cost times the cell's `seconds_per_cost`. The line of a failed seed ends
    with its last finite value and has the key `failed`.
    """
    chosen = drop_copied_runs(select_runs(runs, cells))[["cell_id", "seed", "tuned"]]
    known = curves[(curves["kind"] == "run").to_numpy()]
    known = known.merge(chosen, on=["cell_id", "seed", "tuned"]).sort_values(["cell_id", "seed", "cost"], kind="stable")
    higher = cells.drop_duplicates("cell_id").set_index("cell_id")["metric_higher_is_better"].astype(bool).to_dict()
    parts = (
        f"{json.dumps(str(cell_id))}:{json.dumps(_cell(cell, higher.get(cell_id, False)), separators=(',', ':'))}"
        for cell_id, cell in known.groupby("cell_id", observed=True, sort=False)
    )
    return "{" + ",".join(parts) + "}"


def _cell(cell: pd.DataFrame, higher: bool) -> dict[str, Any]:
    points = cell[["cost", "step"]].drop_duplicates("cost").sort_values("cost")
    costs = points["cost"].to_numpy(dtype=float)
    seconds = cell["seconds"].to_numpy(dtype=float) / np.where(cell["cost"] > 0, cell["cost"], np.nan)
    rate = np.nanmedian(seconds) if np.isfinite(seconds).any() else np.nan
    entry: dict[str, Any] = {
        "cost": [float(cost) if cost % 1 else int(cost) for cost in costs],
        "step": [int(step) for step in points["step"]],
        "seconds_per_cost": float(f"{rate:.{DIGITS}g}") if np.isfinite(rate) else None,
    }
    seeds = [_Seed(int(str(seed)), curve) for seed, curve in cell.groupby("seed", sort=True)]
    shared = np.searchsorted(costs, align_costs(cell))
    for measure in MEASURES:
        worst = -np.inf if higher and measure == "valid_metric" else np.inf
        values = np.array([seed.at(costs, measure, worst) for seed in seeds])
        middle, low, high = band(values[:, shared], worst)
        places = thin_series(middle, low, high)
        entry[measure] = {
            "median": {**_at(shared[places], len(costs)), "is": _round(middle[places]), "low": _round(low[places]),
                       "high": _round(high[places])},
            "seeds": [line for seed in seeds for line in seed.lines(costs, measure)],
        }  # fmt: skip
    return entry


def _at(places: np.ndarray, length: int) -> dict[str, list[int]]:
    return {} if len(places) == length else {"at": places.tolist()}


def _round(values: np.ndarray, digits: int = DIGITS) -> list[float | None]:
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


#: The approximate number of points of a curve on a page: more would not be visible on a screen.
POINTS = 64


def thin_series(*series: np.ndarray, points: int = POINTS) -> np.ndarray:
    """Selects the points to draw of series of one length, such as a median and its band.

    The indices are divided into equal parts. Of each part, the lowest and the highest finite value of each series are
    kept; so are the first and the last point and those next to a gap (a value that is not finite). So no extreme is
    lost or moved. Series of at most `points` values are kept whole.

    Returns:
        The indices of the points to keep, ascending.
    """
    length = len(series[0])
    if length <= points:
        return np.arange(length)
    kept = {0, length - 1}
    for values in series:
        finite = np.isfinite(values)
        kept.update(np.flatnonzero(finite[1:] != finite[:-1]).tolist())
        kept.update((np.flatnonzero(finite[1:] != finite[:-1]) + 1).tolist())
        for part in np.array_split(np.arange(length), max(points // (2 * len(series)), 1)):
            known = part[finite[part]]
            if len(known):
                kept.update((int(known[values[known].argmin()]), int(known[values[known].argmax()])))
    return np.array(sorted(kept))
