"""Curves as the page shows them: each seed, and the median with its band, thinned and rounded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import ENOUGH_FOR_INTERVALS, compared_runs
from optbench.metrics.shared_costs import shared_costs

MEASURES = ("valid_loss", "valid_metric")
#: Significant digits of what is only drawn: of medians with their bands, and of the thin lines of seeds. Tables have
#: all of them.
DIGITS, SEED_DIGITS = 5, 4


class _Seed:
    """The curve of one seed as arrays, ascending in cost: a column of a frame takes longer than what is computed."""

    def __init__(self, seed: int, curve: pd.DataFrame) -> None:
        self.seed, self.failed = seed, bool(curve["status"].iloc[0] != "ok")
        self.cost = curve["cost"].to_numpy(dtype=float)
        self.measured = {measure: curve[measure].to_numpy(dtype=float) for measure in MEASURES}

    def at(self, costs: np.ndarray, measure: str, worst: float) -> np.ndarray:
        """Values at these costs: the latest, `worst` (an infinity) before the first and once it failed."""
        value = np.where(np.isfinite(self.measured[measure]), self.measured[measure], worst)
        latest = np.searchsorted(self.cost, costs, side="right") - 1
        values = np.where(latest < 0, worst, value[np.maximum(latest, 0)])
        if self.failed:
            values[costs > self.cost[-1]] = worst
        return values

    def lines(self, costs: np.ndarray, measure: str) -> list[dict[str, Any]]:
        """What is drawn of it: one line, none where nothing is finite."""
        finite = np.isfinite(self.measured[measure])
        if not finite.any():
            return []
        value, at = self.measured[measure][finite], np.searchsorted(costs, self.cost[finite])
        places = thinned(value)
        line = {"seed": self.seed, **_at(at[places], len(costs)), "is": _rounded(value[places], SEED_DIGITS)}
        return [line | {"failed": True} if self.failed else line]


def band(values: np.ndarray, worst: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The median over seeds (rows), and what the band around it spans: all seeds that are finite, or, from ten seeds
    on, the quartiles. A failed seed counts as `worst`; a median that falls on one is missing, and so is its band.
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
    """A JSON object by cell id: `{"cost": […], "step": […], "valid_loss": {"median": …, "seeds": …}, …}`.

    Of the compared runs. `cost` and `step` are a cell's evaluations; each line has its values, `is` (the median also
    `low` and `high`), and their places in these, `at`, unless it has one for each. The median is taken at the costs
    of `shared_costs`. Costs are in example gradients; seconds are cost times the cell's own `seconds_per_cost`. A
    failed seed ends with the last finite value, and has `failed`.
    """
    chosen = compared_runs(runs, cells)[["cell_id", "seed", "tuned"]]
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
    found: dict[str, Any] = {
        "cost": [float(cost) if cost % 1 else int(cost) for cost in costs],
        "step": [int(step) for step in points["step"]],
        "seconds_per_cost": float(f"{rate:.{DIGITS}g}") if np.isfinite(rate) else None,
    }
    seeds = [_Seed(int(str(seed)), curve) for seed, curve in cell.groupby("seed", sort=True)]
    shared = np.searchsorted(costs, shared_costs(cell))
    for measure in MEASURES:
        worst = -np.inf if higher and measure == "valid_metric" else np.inf
        values = np.array([seed.at(costs, measure, worst) for seed in seeds])
        middle, low, high = band(values[:, shared], worst)
        places = thinned(middle, low, high)
        found[measure] = {
            "median": {**_at(shared[places], len(costs)), "is": _rounded(middle[places]), "low": _rounded(low[places]),
                       "high": _rounded(high[places])},
            "seeds": [line for seed in seeds for line in seed.lines(costs, measure)],
        }  # fmt: skip
    return found


def _at(places: np.ndarray, length: int) -> dict[str, list[int]]:
    return {} if len(places) == length else {"at": places.tolist()}


def _rounded(values: np.ndarray, digits: int = DIGITS) -> list[float | None]:
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


#: Curves of a page have about so many points: more than a figure on a screen can tell apart.
POINTS = 64


def thinned(*series: np.ndarray, points: int = POINTS) -> np.ndarray:
    """The places to keep of series of one length (a median and its band, say), in order.

    Places are cut into equal parts, and of each part those are kept at which a series has its lowest and highest
    finite value; and the first, the last, and those beside a gap (a value that isn't finite). So extremes stay
    where they are, in the whole and in each part. All are kept of series no longer than `points`.
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
