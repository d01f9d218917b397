"""Whether an optimizer's speed-up holds at longer horizons and larger sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import format_number
from optbench.metrics.ladders import HORIZON, LADDER, SIZE, Ladder, Rung, ladders, loss_matrix
from optbench.metrics.verdicts import choose_reference
from optbench.statistics.scaling import improving, jackknife, log_speedups, slope

AT_LEAST, AT_MOST = "at least", "at most"
GROWS, HOLDS, SHRINKS, UNDECIDED = "grows", "holds", "shrinks", "can't be told"
#: A speed-up holds that changes by less than this factor from one decade to the next.
MARGIN = 1.1

COLUMNS = [
    *LADDER, "problem", "size", "run_budget", "optimizer", "over", "loss", "loss_over", "n", "speedup", "speedup_low",
    "speedup_high", "bound", "seconds_speedup", "seconds_speedup_low", "seconds_speedup_high", "note",
]  # fmt: skip
SLOPES = [*LADDER, "optimizer", "over", "axis", "slope", "slope_low", "slope_high", "rungs", "n", "verdict"]


def scaling(runs: pd.DataFrame, cells: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Returns one row for each optimizer but the reference and each rung: its effective speed-up.

    The speed-up at a rung is c/c_A: the cost c at which the reference, tuned at each of its own horizons, reaches the
    loss that the optimizer has there, over the cost c_A of the optimizer (see `statistics.scaling`). Losses are
    geometric means over the `n` seeds that both have on all rungs. `bound` is `at least` if the loss is below all of
    the reference, and `at most` if it is above all of them; the speed-up is then that bound. `seconds_speedup` is the
    speed-up times the ratio of the seconds per example gradient. The intervals (95 %) leave out one seed after another.

    Args:
        runs: Frame of runs (see `optbench.load`).
        cells: Frame of cells.
        reference: The optimizer that all others are compared with (default: as in `verdicts`).
    """
    rows = [
        row
        for ladder in ladders(runs, cells)
        for pair in _pairs(ladder, choose_reference(cells, reference))
        for row in pair.rows()
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = [name for name in COLUMNS if name.startswith(("speedup", "seconds", "loss"))]
    table = table.astype(dict.fromkeys(["size", "run_budget", *numbers], "float64"))
    return table.astype({"n": "Int64", **dict.fromkeys(("bound", "note"), "object")})


def scaling_slopes(runs: pd.DataFrame, cells: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Returns one row for each optimizer, ladder and axis (`horizon`, `size`): how its speed-up changes.

    `slope` is the coefficient of log₁₀ run budget or log₁₀ size in a least-squares plane through log₁₀ speed-up: the
    decades of speed-up per decade. Only the `rungs` whose speed-up is not a bound count. The verdict is `holds` if the
    whole interval is within ± log₁₀ 1.1, `grows` or `shrinks` if it is above or below 0, and otherwise `can't be told`.

    Args:
        runs: Frame of runs (see `optbench.load`).
        cells: Frame of cells.
        reference: As for `scaling`.
    """
    rows = [
        row
        for ladder in ladders(runs, cells)
        for pair in _pairs(ladder, choose_reference(cells, reference))
        for row in pair.slopes()
    ]
    table = pd.DataFrame(rows, columns=SLOPES).astype(dict.fromkeys(["slope", "slope_low", "slope_high"], "float64"))
    return table.astype({"rungs": "Int64", "n": "Int64"})


def verdict(low: float, high: float) -> str:
    """Returns the verdict on a slope from its interval."""
    margin = np.log10(MARGIN)
    if -margin <= low and high <= margin:
        return HOLDS
    return GROWS if low > 0 else SHRINKS if high < 0 else UNDECIDED


def scaling_sentences(slopes: pd.DataFrame) -> list[str]:
    """Returns a sentence for each row of `scaling_slopes`; device and schedule are named if there are several."""
    several = [name for name in ("device", "schedule") if slopes[name].nunique() > 1]
    return [_sentence(row, several) for row in slopes.to_dict("records")]


def _sentence(row: dict[Any, Any], several: Sequence[str]) -> str:
    axis = "the run budget" if row["axis"] == HORIZON else "the size"
    where = ", ".join([f"{row['ladder']}, batch size {row['batch_size']}", *(str(row[name]) for name in several)])
    who = f"{where}: the speed-up of {row['optimizer']} over {row['over']}"
    if pd.isna(row["slope_low"]):
        return f"{who} has no slope over {axis}: at most one rung has a speed-up that is not a bound."
    low, factor, high = (format_number(10 ** row[name], 3) for name in ("slope_low", "slope", "slope_high"))
    how = f"a factor of {factor} per tenfold {axis.removeprefix('the ')} [{low}, {high}], {row['rungs']} rungs"
    if row["verdict"] == UNDECIDED:
        return f"{who}: it can't be told whether it holds with {axis} ({how})."
    return f"{who} {row['verdict']} with {axis} ({how})."


class _Pair:
    """An optimizer and the reference on the rungs of a ladder."""

    def __init__(self, ladder: Ladder, optimizer: str, reference: str) -> None:
        self.names = {**ladder.key, "optimizer": optimizer, "over": reference}
        both = (ladder.rungs[optimizer], ladder.rungs[reference])
        self.left_out = [rung for rung in both[0] if not rung.usable]
        self.own, self.other = ([rung for rung in rungs if rung.usable] for rungs in both)
        logs = loss_matrix([*self.own, *self.other])
        self.own_losses, self.other_losses = logs[: len(self.own)], logs[len(self.own) :]
        self.seeds = logs.shape[1] if logs.size else 0
        every = np.arange(self.seeds)
        self.speedups = self._log_speedups(every) if self.seeds else np.full(len(self.own), np.nan)
        #: The same without one seed after another, (seeds, rungs).
        self.without = np.array([self._log_speedups(np.delete(every, one)) for one in every] if self.seeds > 1 else [])
        self.low, self.high = jackknife(self.speedups, self.without)
        self.ends = [self._ends(rung) for rung in self.own]
        self.bounds = [
            AT_LEAST if value > top else AT_MOST if value < bottom else ""
            for value, (bottom, top) in zip(self.speedups, self.ends, strict=True)
        ]

    def rows(self) -> Iterator[dict[str, Any]]:
        for place, rung in enumerate(self.own):
            own = np.exp(self.own_losses[place].mean()) if self.seeds else np.nan
            values = self._limited(place)
            seconds = [value * self._seconds_ratio(rung) for value in values]
            yield {
                **self.names, "problem": rung.problem, "size": rung.size, "run_budget": rung.run_budget, "loss": own,
                "loss_over": self._loss_over(rung), "n": self.seeds, "bound": self.bounds[place],
                **dict(zip(("speedup", "speedup_low", "speedup_high"), values, strict=True)),
                **dict(zip(("seconds_speedup", "seconds_speedup_low", "seconds_speedup_high"), seconds, strict=True)),
                "note": self._note(rung),
            }  # fmt: skip
        for rung in self.left_out:
            note = f"{rung.failed} runs have no loss" if rung.failed else "not all losses are above 0"
            where = {"problem": rung.problem, "size": rung.size, "run_budget": rung.run_budget}
            yield {**self.names, **where, "n": self.seeds, "bound": "", "note": note}

    def slopes(self) -> Iterator[dict[str, Any]]:
        known = [place for place, bound in enumerate(self.bounds) if not bound and np.isfinite(self.speedups[place])]
        every = {HORIZON: {rung.run_budget for rung in self.own}, SIZE: {rung.place[0] for rung in self.own}}
        axes = [axis for axis, values in every.items() if len(values) > 1]
        x = np.array([[math.log10(_coordinate(self.own[place], axis)) for axis in axes] for place in known])
        x = x.reshape(len(known), len(axes))
        # An axis along which all known rungs agree has no slope; the others still have one.
        varying = [place for place in range(len(axes)) if len(known) and np.ptp(x[:, place]) > 0]
        found = np.full((3, len(axes)), np.nan)
        if varying:
            value, *without = (
                slope(x[:, varying], speedups[known] / np.log(10)) for speedups in (self.speedups, *self.without)
            )
            found[:, varying] = value, *jackknife(value, np.array(without))
        for axis, value, low, high in zip(axes, *found, strict=True):
            yield {
                **self.names, "axis": axis, "slope": value, "slope_low": low, "slope_high": high, "rungs": len(known),
                "n": self.seeds, "verdict": verdict(low, high) if np.isfinite(low) else UNDECIDED,
            }  # fmt: skip

    def _log_speedups(self, seeds: np.ndarray) -> np.ndarray:
        own = np.exp(self.own_losses[:, seeds].mean(axis=1))
        other = np.exp(self.other_losses[:, seeds].mean(axis=1))
        result = np.full(len(self.own), np.nan)
        for size in {rung.place[0] for rung in self.own}:
            mine, theirs = (_of_size(rungs, size) for rungs in (self.own, self.other))
            if len(theirs) > 1:
                own_costs = np.array([self.own[place].cost for place in mine])
                other_costs = np.array([self.other[place].cost for place in theirs])
                result[mine] = log_speedups(own_costs, own[mine], other_costs, other[theirs])
        return result

    def _ends(self, rung: Rung) -> tuple[float, float]:
        """The logarithms of the lowest and the highest speed-up that the reference's horizons can show."""
        theirs = np.array(_of_size(self.other, rung.place[0]), int)
        better = theirs[improving(self.other_losses[theirs].mean(axis=1))] if self.seeds else theirs
        costs = [self.other[place].cost for place in better]
        return (np.log(min(costs) / rung.cost), np.log(max(costs) / rung.cost)) if costs else (np.nan, np.nan)

    def _limited(self, place: int) -> tuple[float, float, float]:
        """Speed-up and interval; beyond the reference's horizons, nothing is claimed but the bound."""
        value, low, high = self.speedups[place], self.low[place], self.high[place]
        bottom, top = self.ends[place]
        if self.bounds[place] == AT_LEAST:
            value, low, high = top, min(low, top), np.inf
        elif self.bounds[place] == AT_MOST:
            value, low, high = bottom, -np.inf, max(high, bottom)
        return float(np.exp(value)), float(np.exp(low)), float(np.exp(high))

    def _loss_over(self, rung: Rung) -> float:
        for place, other in enumerate(self.other):
            if other.place == rung.place:
                return float(np.exp(self.other_losses[place].mean())) if self.seeds else np.nan
        return np.nan

    def _seconds_ratio(self, rung: Rung) -> float:
        """Seconds per example gradient of the reference over those of the optimizer, at this size."""
        theirs = [self.other[place].seconds for place in _of_size(self.other, rung.place[0])]
        return float(np.mean(theirs) / rung.seconds) if theirs else np.nan

    def _note(self, rung: Rung) -> str:
        theirs = _of_size(self.other, rung.place[0])
        if len(theirs) < 2:
            return f"{self.names['over']} has one run budget here, so that nothing can be interpolated"
        if self.seeds and (np.diff(self.other_losses[theirs].mean(axis=1)) > 0).any():
            return f"the loss of {self.names['over']} rises with the run budget here; only its lowest losses count"
        return "one seed: no interval" if self.seeds == 1 else ""


def _pairs(ladder: Ladder, reference: str) -> Iterator[_Pair]:
    if reference in ladder.rungs:
        yield from (_Pair(ladder, name, reference) for name in ladder.rungs if name != reference)


def _of_size(rungs: Sequence[Rung], size: float) -> list[int]:
    return [place for place, rung in enumerate(rungs) if rung.place[0] == size]


def _coordinate(rung: Rung, axis: str) -> float:
    return rung.run_budget if axis == HORIZON else rung.size
