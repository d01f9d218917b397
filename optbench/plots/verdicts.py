"""Who is better than the reference, where, and how many seeds are missing where nobody can say."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.formatting import significant
from optbench.plots import style
from optbench.plots.grid import fields, fill, grid, patch

_COLORS = {"win": style.BLUE, "tie": style.GREEN, "loss": style.VERMILLION, "inconclusive": style.GRID}


@mpl.rc_context(style.RC)
def verdicts(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Every optimizer against the reference on every task, the one with most wins less losses at the top.

    `table` is the frame of `metrics.verdicts`. A field has the verdict, and below it the mean effect; where it
    is inconclusive, how many more seeds are likely to decide. Returns the figure and the table.
    Raises NothingToDraw where nothing was compared.
    """
    if table.empty:
        raise style.NothingToDraw("no two optimizers have run on one task")
    score = (table["verdict"] == "win").astype(int) - (table["verdict"] == "loss").astype(int)
    order = pd.DataFrame({"score": score, "probability": table["probability"]}).groupby(table["optimizer"]).mean()
    names = list(order.sort_values(["score", "probability"], ascending=False, kind="stable").index)
    reference, metric = table["reference"].iloc[0], table["metric"].iloc[0]
    figure, ax, columns = grid(
        cells, names, f"Verdicts against {reference}",
        f"by {metric.replace('_', ' ')}, {_seeds(table)}; ×: ratio of losses, below 1 is better; +: better, −: worse",
        [patch(color, name) for name, color in _COLORS.items()],
    )  # fmt: skip
    for column, line, row in fields(table, names, columns):
        fill(ax, column, line, _COLORS[row["verdict"]], _text(row))
    return figure, table


def _seeds(table: pd.DataFrame) -> str:
    if table["n_pairs"].isna().all():
        return "no paired seeds"
    low, high = int(table["n_pairs"].min()), int(table["n_pairs"].max())
    return f"{low} paired seed{'s' * (low != 1)}" if low == high else f"{low} to {high} paired seeds"


def _text(row: dict[Any, Any]) -> str:
    effect = _effect(row)
    if row["verdict"] != "inconclusive":
        return f"{row['verdict']}\n{effect}"
    more = row["more_seeds"]
    return f"{effect}\n{'?' if pd.isna(more) else f'{int(more):,} more seeds'}"


def _effect(row: dict[Any, Any]) -> str:
    if math.isnan(row["effect"]):
        lost = int(row["n_failed"]) if pd.notna(row["n_failed"]) else 0
        return f"{lost} failed" if lost else "–"
    if row["effect_unit"] == "ratio":
        near = 0.9 <= row["effect"] < 1.1
        return f"× {significant(row['effect'], 3 if near else 2, trim=not near)}"
    text = significant(abs(row["effect"]), 2)
    return f"{'−' if row['effect'] < 0 else '+'}{text}"
