"""The two matrices of the page: speed-up over the reference, and probability of improvement of each pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.formatting import format_number
from optbench.results.stored import GROUP

#: The target that is shown first if a problem has it.
FIRST_TARGET = "medium"
#: Sentences that the page's scripts write again for a selection or another reference; `{…}` are filled in.
TEXTS = {
    "speedup": "Speed-up: median {measure} to target of {reference}, divided by that of the optimizer.",
    "speedup_ratio": "{ratio} times as fast as the reference",
    "speedup_equal": "as fast as the reference",
    "speedup_missed": "at least half of the seeds missed the target",
    "speedup_only": "target reached, but not by the reference",
    "improvement": "Probability that the row is better than the column, in percent.",
    "improvement_entry": "{share} %, 95 % interval {low} to {high} %",
}


@dataclass(frozen=True)
class Entry:
    """An entry of a matrix.

    `words` describes it to screen readers, `shade` is its place on the colour scale from −1 to 1, `hatched` marks a
    missed target, and `faint` a number that may be due to chance.
    """

    text: str
    words: str
    shade: float = 0.0
    hatched: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Row:
    """A row with its heading, the task or optimizer that it is about, and its entries by column (None: not run)."""

    heading: str
    where: dict[str, object]
    entries: list[Entry | None]


def speedup_rows(summary: pd.DataFrame, names: list[str], reference: str) -> list[Row]:
    """The speed-up matrix: reference's cost to the target over the optimizer's, medians over seeds.

    Args:
        summary: The table `target_summary`.
        names: The optimizers, in the order of the columns.
        reference: The optimizer with speed-up 1.

    Returns:
        One row per task. The target is the one of `select_target`. An entry is hatched if at least half of the seeds
        missed it.
    """
    rows = []
    for key, task in select_target(summary).groupby(GROUP, observed=True, sort=False):
        where: dict[str, object] = dict(zip(GROUP, key, strict=True))
        cost = {str(name): float(value) for name, value in zip(task["optimizer"], task["median_cost"], strict=True)}
        entries = [speedup(cost[name], cost.get(reference, math.nan)) if name in cost else None for name in names]
        rows.append(Row(f"{where['problem']}, batch {where['batch_size']}", where, entries))
    return rows


def select_target(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of one target per problem: `medium` if the problem has it, otherwise its first target."""
    frame = summary.assign(target_name=summary["target_name"].astype(object))
    chosen = {
        problem: FIRST_TARGET if FIRST_TARGET in set(own) else own.iloc[0]
        for problem, own in frame.groupby("problem", observed=True)["target_name"]
    }
    return frame[frame["target_name"] == frame["problem"].astype(object).map(chosen)]


def speedup(cost: float, reference: float) -> Entry:
    """The entry of a task from the costs to the target of an optimizer and the reference (NaN: not reached)."""
    if math.isnan(cost):
        return Entry("–", TEXTS["speedup_missed"], hatched=True)
    if math.isnan(reference):
        return Entry("only", TEXTS["speedup_only"], 1.0)
    ratio = reference / cost if cost else math.inf
    shade = float(np.clip(math.log2(ratio) / 2, -1, 1)) if cost else 1.0
    text = format_number(ratio, 2)
    words = TEXTS["speedup_equal" if text in ("1", "1.0") else "speedup_ratio"].format(ratio=text)
    return Entry(f"{text}×", words, shade)


def improvement_rows(table: pd.DataFrame, names: list[str]) -> list[Row]:
    """The matrix of the table `probability_of_improvement`: row better than column, in percent."""
    known = {(str(row["optimizer"]), str(row["other"])): row for row in table.to_dict("records")}
    return [
        Row(name, {"optimizer": name}, [improvement(known.get((name, other))) for other in names]) for name in names
    ]


def improvement(row: Mapping[object, float] | None) -> Entry | None:
    """The entry of a pair from its row of the table; in brackets if its interval contains one half."""
    if row is None or math.isnan(row["probability"]):
        return None
    share, low, high = (100 * float(row[f"probability{end}"]) for end in ("", "_low", "_high"))
    undecided = low <= 50 <= high
    words = TEXTS["improvement_entry"].format(share=f"{share:.0f}", low=f"{low:.0f}", high=f"{high:.0f}")
    return Entry(f"({share:.0f})" if undecided else f"{share:.0f}", words, (share - 50) / 50, faint=undecided)
