"""The two matrices of the page: how much faster than the reference, and how likely better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.formatting import significant
from optbench.results.stored import GROUP

#: The target that is shown at first, where a problem has it.
FIRST_TARGET = "medium"


@dataclass(frozen=True)
class Entry:
    """A cell: its text, its words for a screen reader, its place on the colour scale (−1 … 1), whether it is
    hatched, and whether it may be chance.
    """

    text: str
    words: str
    shade: float = 0.0
    hatched: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Row:
    """A row with its heading and its entries by column, missing where nothing was run."""

    heading: str
    where: dict[str, object]
    entries: list[Entry | None]


def speedup_rows(summary: pd.DataFrame, names: list[str], reference: str) -> list[Row]:
    """For each task how many times less cost than the reference an optimizer takes to a target (see `FIRST_TARGET`).

    `summary` is the table `target_summary`. A cell is hatched where half of the seeds or more never got there.
    """
    rows = []
    for key, task in shown_target(summary).groupby(GROUP, observed=True, sort=False):
        where: dict[str, object] = dict(zip(GROUP, key, strict=True))
        cost = {str(name): float(value) for name, value in zip(task["optimizer"], task["median_cost"], strict=True)}
        entries = [speedup(cost[name], cost.get(reference, math.nan)) if name in cost else None for name in names]
        rows.append(Row(f"{where['problem']}, batch {where['batch_size']}", where, entries))
    return rows


def shown_target(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of one target of each problem: the one in the middle where there are several."""
    frame = summary.assign(target_name=summary["target_name"].astype(object))
    chosen = {
        problem: FIRST_TARGET if FIRST_TARGET in set(own) else own.iloc[0]
        for problem, own in frame.groupby("problem", observed=True)["target_name"]
    }
    return frame[frame["target_name"] == frame["problem"].astype(object).map(chosen)]


def speedup(cost: float, reference: float) -> Entry:
    """The entry of a cell from the two costs, missing ones being misses."""
    if math.isnan(cost):
        return Entry("–", "target not reached", hatched=True)
    if math.isnan(reference):
        return Entry("only", "target reached, by the reference not", 1.0)
    ratio = reference / cost if cost else math.inf
    shade = float(np.clip(math.log2(ratio) / 2, -1, 1)) if cost else 1.0
    return Entry(f"{significant(ratio, 2)}×", f"{significant(ratio, 2)} times as fast as the reference", shade)


def improvement_rows(table: pd.DataFrame, names: list[str]) -> list[Row]:
    """For each ordered pair the percentage of `probability_of_improvement`, row against column."""
    known = {(str(row["optimizer"]), str(row["other"])): row for row in table.to_dict("records")}
    return [
        Row(name, {"optimizer": name}, [improvement(known.get((name, other))) for other in names]) for name in names
    ]


def improvement(row: Mapping[object, float] | None) -> Entry | None:
    """The entry of a pair; in brackets where its interval holds one half."""
    if row is None or math.isnan(row["probability"]):
        return None
    share, low, high = (100 * float(row[f"probability{end}"]) for end in ("", "_low", "_high"))
    undecided = low <= 50 <= high
    words = f"{share:.0f} %, interval {low:.0f} to {high:.0f} %"
    return Entry(f"({share:.0f})" if undecided else f"{share:.0f}", words, (share - 50) / 50, faint=undecided)
