"""The trials over learning rate and weight decay, coloured by how good they were."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optbench.metrics.hyperparameters import column_of, searched_space
from optbench.metrics.importance import place
from optbench.optimizers.decay import DECAY_PER_STEP, WEIGHT_DECAY
from optbench.plots import style
from optbench.plots.importance import tick_labels
from optbench.results.stored import STOPPED

#: Cells that are drawn, each in a panel.
_MOST = 24
_ACROSS, _UPS = "lr", (DECAY_PER_STEP, WEIGHT_DECAY)
#: From the best trial to the worst, as in the parallel coordinates of the page.
_COLORS = LinearSegmentedColormap.from_list("best to worst", [style.BLUE, "#808080", style.VERMILLION])


@mpl.rc_context(style.RC)
def weight_decay_map(trials: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame] | None:
    """Draws the trials of each cell that searched learning rate and weight decay at their values of both.

    The axes have the scales of the search. The colour is the rank of the validation loss among the trials of the cell:
    complete trials come before those that were stopped early, which are small marks and ranked by how far they came,
    then by their loss. The large mark is the best trial, and crosses are trials that failed. Returns the figure and the
    trials drawn, or None if no cell searched both.
    """
    rows = [cell for cell in cells.drop_duplicates("cell_id").to_dict("records") if _decay_of(cell)]
    if not rows:
        return None
    several = [name for name in ("problem", "batch_size", "device", "schedule") if cells[name].nunique() > 1]
    shown = rows[:_MOST]
    left_out = len(rows) - len(shown)
    figure, axes = style.sheet(
        "Learning rate and weight decay",
        "trials from the best (blue) to the worst (orange) validation loss"
        + (", over weight decay or decay per step" if len({_decay_of(cell) for cell in shown}) > 1 else "")
        + (f"; {left_out} more cells are not drawn" if left_out else ""),
        len(shown),
        [
            Line2D([], [], color=style.BLUE, marker="o", linestyle="", markersize=4, label="trial"),
            Line2D([], [], color=style.INK, marker=".", linestyle="", markersize=4, alpha=0.5, label="stopped early"),
            Line2D([], [], color=style.INK, marker="x", linestyle="", markersize=4, label="failed"),
            Line2D([], [], color=style.INK, marker="D", linestyle="", markersize=6, label="best trial"),
        ],
        size=(2.2, 1.9),
        titles=[", ".join([str(cell["optimizer"]), *(str(cell[name]) for name in several)]) for cell in shown],
    )
    kinds = {_decay_of(cell) for cell in shown}
    axes[0].set_ylabel("weight decay per step" if kinds == {DECAY_PER_STEP} else "weight decay")
    for ax in axes[-min(len(axes), style.COLUMNS) :]:
        ax.set_xlabel("learning rate")
    drawn = []
    for ax, cell in zip(axes, shown, strict=True):
        points = _points(trials[trials["cell_id"] == cell["cell_id"]], cell)
        _draw_panel(ax, points, cell)
        drawn.append(points)
    return figure, pd.concat(drawn, ignore_index=True)


def _decay_of(cell: dict[Any, Any]) -> str:
    """Returns the kind of decay that a cell searched together with the learning rate; empty if it did not."""
    space = searched_space(cell)
    return next((name for name in _UPS if name in space), "") if _ACROSS in space else ""


def _points(trials: pd.DataFrame, cell: dict[Any, Any]) -> pd.DataFrame:
    """Returns the trials of a cell with their positions on both axes and their rank, from 0 (best) to 1."""
    space, decay = searched_space(cell), _decay_of(cell)
    own = trials.drop_duplicates("trial", keep="last")
    points = own[["cell_id", "optimizer", "trial", "status", "cost", "valid_loss", "lr"]].assign(
        hyperparameter=decay,
        decay=own[column_of(decay)],
        x=[place(space[_ACROSS], value) for value in own["lr"]],
        y=[place(space[decay], value) for value in own[column_of(decay)]],
    )
    known = points["status"].isin(["ok", STOPPED]) & np.isfinite(points["valid_loss"].astype(float))
    spent = points["cost"].where(points["status"] != "ok", np.inf)
    ranked = points[known].assign(spent=spent).sort_values(["spent", "valid_loss"], ascending=[False, True])
    points["rank"] = pd.Series(np.linspace(0.0, 1.0, len(ranked)), ranked.index).reindex(points.index)
    return points


def _draw_panel(ax: Axes, points: pd.DataFrame, cell: dict[Any, Any]) -> None:
    known = points[points["rank"].notna()].sort_values("rank", ascending=False)
    for status, size in ((STOPPED, 7), ("ok", 20)):
        own = known[known["status"] == status]
        ax.scatter(own["x"], own["y"], s=size, c=own["rank"], cmap=_COLORS, vmin=0, vmax=1, linewidths=0, zorder=3)
    failed = points[points["rank"].isna()]
    ax.plot(failed["x"], failed["y"], "x", color=style.INK, markersize=3.5, alpha=0.6)
    best = known[known["rank"] == 0]
    ax.plot(best["x"], best["y"], "D", color=style.INK, markersize=6, markerfacecolor=style.BLUE, zorder=4)
    space = searched_space(cell)
    ax.set_xticks(*zip(*tick_labels(space[_ACROSS]), strict=True))
    marks = tick_labels(space[_decay_of(cell)])
    ax.set_yticks([mark for mark, _ in marks], [])
    # Each optimizer has a range of its own, so the values stand within its panel.
    for mark, label in marks:
        ax.text(-0.05, mark, label, size=7, va="center", ha="left", color=style.INK, alpha=0.7, zorder=5)
    ax.set_xlim(-0.06, 1.06)
    ax.set_ylim(-0.06, 1.06)
