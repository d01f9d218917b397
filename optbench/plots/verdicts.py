"""The verdicts against the reference on each task, and how many more seeds an inconclusive one would need."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.formatting import format_number
from optbench.metrics.verdicts import SMALL
from optbench.plots import style
from optbench.plots.grid import fields, fill, grid, patch

_COLORS = {"win": style.BLUE, "tie": style.GREEN, "loss": style.VERMILLION, "inconclusive": style.GRID}


@mpl.rc_context(style.RC)
def verdicts(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws the verdict of every optimizer on every task, the optimizer with the most wins minus losses at the top.

    `table` is the frame of `metrics.verdicts`. A field has the verdict and the mean effect; if it is inconclusive, it
    has the effect and the number of further seeds that are likely to decide. Returns the figure and the table. Raises
    NothingToDraw if nothing was compared.
    """
    if table.empty:
        raise style.NothingToDraw("no two optimizers were run on the same task")
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
        small = ", small" if row["note"].startswith(SMALL) else ""
        return f"{row['verdict']}{small}\n{effect}"
    more = row["more_seeds"]
    return f"{effect}\n{'?' if pd.isna(more) else f'{int(more):,} more seeds'}"


def _effect(row: dict[Any, Any]) -> str:
    if math.isnan(row["effect"]):
        lost = int(row["n_failed"]) if pd.notna(row["n_failed"]) else 0
        return f"{lost} failed" if lost else "–"
    if row["effect_unit"] == "ratio":
        near = 0.9 <= row["effect"] < 1.1
        return f"× {format_number(row['effect'], 3 if near else 2, trim=not near)}"
    text = format_number(abs(row["effect"]), 2)
    return f"{'−' if row['effect'] < 0 else '+'}{text}"
