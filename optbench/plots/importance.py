"""Slices of the search spaces: the loss of each trial against each hyperparameter."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optbench.metrics.hyperparameters import column_of, searched_space
from optbench.metrics.importance import place
from optbench.optimizers.search_space import Choices, Range
from optbench.plots import style
from optbench.results.stored import STOPPED

#: Cells that are drawn, each in a row of panels.
_MOST = 12


@mpl.rc_context(style.RC)
def importance(table: pd.DataFrame, trials: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame] | None:
    """Draws the validation loss of each trial at its value of each hyperparameter; each row of panels is a cell.

    The axis of a hyperparameter is on its own scale from the low to the high end of the searched space. A trial that
    was stopped early is a small mark at the loss that it had then, and the best trial is a large one. The titles have
    the importance. `table` is the frame of `metrics.importance`. Returns the figure and the trials drawn, or None if no
    cell has importances.
    """
    if table.empty:
        return None
    shown = list(dict.fromkeys(table["cell_id"]))[:_MOST]
    rows = {cell["cell_id"]: cell for cell in cells.drop_duplicates("cell_id").to_dict("records")}
    across = int(table[table["cell_id"].isin(shown)].groupby("cell_id").size().max())
    several = [name for name in ("problem", "batch_size", "device", "schedule") if table[name].nunique() > 1]
    own = {cell_id: table[table["cell_id"] == cell_id] for cell_id in shown}
    titles = []
    for cell_id in shown:
        label = ", ".join([str(rows[cell_id]["optimizer"]), *(str(rows[cell_id][name]) for name in several)])
        parts = zip(own[cell_id]["hyperparameter"], own[cell_id]["importance"], strict=True)
        named = [f"{name}: {100 * share:.0f} %" for name, share in parts]
        titles += [f"{label}, {named[0]}", *named[1:], *[""] * (across - len(named))]
    left_out = table["cell_id"].nunique() - len(shown)
    figure, axes = style.sheet(
        "Hyperparameters",
        "validation loss of the trials; titles: share in the importance (PED-ANOVA)"
        + (f"; {left_out} more cells are not drawn" if left_out else ""),
        len(titles),
        [
            Line2D([], [], color=style.BLUE, marker="o", linestyle="", markersize=4, label="trial"),
            Line2D([], [], color=style.INK, marker=".", linestyle="", markersize=4, alpha=0.5, label="stopped early"),
            Line2D([], [], color=style.VERMILLION, marker="D", linestyle="", markersize=6, label="best trial"),
        ],
        size=(1.5, 1.3),
        columns=across,
        titles=titles,
    )
    drawn = []
    for ax in axes:
        ax.set_visible(False)
    for row, cell_id in enumerate(shown):
        space = searched_space(rows[cell_id])
        mine = trials[(trials["cell_id"] == cell_id) & np.isfinite(trials["valid_loss"].astype(float))]
        mine = mine[mine["status"].isin(["ok", STOPPED])].drop_duplicates("trial")
        for ax, name in zip(axes[row * across :], map(str, own[cell_id]["hyperparameter"]), strict=False):
            values = mine[column_of(name)]
            points = mine[["cell_id", "optimizer", "trial", "status", "valid_loss"]].assign(
                hyperparameter=name, value=values.astype(str), position=[place(space[name], value) for value in values]
            )
            _draw_slice(ax, space[name], points)
            drawn.append(points)
    return figure, pd.concat(drawn, ignore_index=True)


def _draw_slice(ax: Axes, tried: Range | Choices, points: pd.DataFrame) -> None:
    """Draws the trials' losses over one hyperparameter."""
    ax.set_visible(True)
    ended, stopped = points[points["status"] == "ok"], points[points["status"] == STOPPED]
    ax.plot(stopped["position"], stopped["valid_loss"], ".", color=style.INK, markersize=3, alpha=0.5)
    ax.plot(ended["position"], ended["valid_loss"], "o", color=style.BLUE, markersize=3.5)
    best = ended[ended["valid_loss"] == ended["valid_loss"].min()]
    ax.plot(best["position"], best["valid_loss"], "D", color=style.VERMILLION, markersize=5, zorder=4)
    ax.set_xticks(*zip(*tick_labels(tried), strict=True))
    ax.set_xlim(-0.05, 1.05)
    if len(points) and (points["valid_loss"] > 0).all():
        ax.set_yscale("log")
        style.plain_ticks(ax.yaxis, *ax.get_ylim())


def tick_labels(tried: Range | Choices) -> list[tuple[float, str]]:
    """Returns positions on the axis of a hyperparameter, from 0 to 1, and the values there as text.

    All values of a list, otherwise the low end (or 0, if it is tried in addition to the range), the middle and the high
    end.

    Args:
        tried: The range or list of values.
    """
    if isinstance(tried, Choices):
        marks = [tried.position(value) for value in tried.values]
    elif tried.zero:
        marks = [tried.position(0), (tried.position(tried.low) + 1.0) / 2, 1.0]
    else:
        marks = [0.0, 0.5, 1.0]
    return [(mark, _label(tried, tried.at(mark))) for mark in marks]


def _label(tried: Range | Choices, value: object) -> str:
    """A tick label with two significant digits, near 1 of the distance from 1."""
    if not isinstance(value, float):
        return str(value)
    if isinstance(tried, Range) and tried.complement:
        return f"{1 - float(f'{1 - value:.2g}'):.6g}"
    return style.plain_number(float(f"{value:.2g}"))
