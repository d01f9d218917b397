"""Cost to target and tuned learning rate against the batch size."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from optbench.plots import style

#: The space between the panels of cost and the panel of the rate, in inches.
_ROOM = 0.4


@mpl.rc_context(style.RC)
def batch_scaling(table: pd.DataFrame, cells: pd.DataFrame, problem: str) -> tuple[Figure, pd.DataFrame] | None:
    """Draws one panel per target with the median cost to reach it, and one with the tuned rate, on logarithmic axes.

    `table` is the frame of `metrics.batch_scaling`. A batch size at which half of the seeds miss the target has
    a cross at the top instead of a mark. Returns the figure and the rows that it draws, or None for a problem with one
    batch size. Raises NothingToDraw if no target was reached.
    """
    looks = style.looks(cells["optimizer"])
    cells = cells[cells["problem"] == problem]
    if cells["batch_size"].nunique() < 2:
        return None
    drawn = table[table["problem"] == problem].reset_index(drop=True)
    if not (drawn["cost"] > 0).any():
        raise style.NothingToDraw("in no cell did half of the seeds reach a target after the start of the training")
    several = [name for name in ("device", "schedule") if cells[name].nunique() > 1]
    wheres = drawn[["device", "schedule"]].drop_duplicates().to_dict("records")
    targets = [str(name) for name in drawn["target_name"].unique()]
    panels = [(where, target) for where in wheres for target in [*targets, None]]
    titles = [", ".join([*(str(where[name]) for name in several), _what(drawn, target)]) for where, target in panels]
    figure, axes = style.sheet(
        problem,
        f"cost to target and tuned learning rate against batch size: medians over seeds, {style.scope(cells)}",
        len(panels),
        [style.key(looks[name], name) for name in sorted(cells["optimizer"].unique())],
        size=(2.3, 2.2),
        columns=len(targets) + 1,
        titles=titles,
    )
    sizes = sorted(int(size) for size in drawn["batch_size"].unique())
    positive = (
        drawn["cost"].astype(float).where(drawn["cost"] > 0)
    )  # 0: reached at the start, which a logarithmic axis cannot show
    bottom, top = float(positive.min()), float(positive.max())
    for ax, (where, target) in zip(axes, panels, strict=True):
        own = style.select_rows(drawn, where)
        ax.set(xscale="log", yscale="log", xlabel="batch size")
        ax.xaxis.set_major_locator(FixedLocator(sizes))
        ax.xaxis.set_major_formatter(FuncFormatter(style.plain_number))
        ax.xaxis.set_minor_locator(NullLocator())
        own = own[own["target_name"] == (target or targets[0])]
        known = sorted(looks)
        for name, line in own.groupby("optimizer"):
            look = looks[str(name)]
            # Each optimizer is moved slightly to the side, so that equal marks do not hide each other.
            side = 1 + 0.08 * (known.index(str(name)) / max(len(known) - 1, 1) - 0.5)
            value = positive[line.index] if target else line["lr"].astype(float)
            ax.plot(line["batch_size"] * side, value, color=look.color, linestyle=look.dash, linewidth=1.5,
                    marker=look.marker, markersize=4.5)  # fmt: skip
            missed = line[line["cost"].isna() & line["n_reached"].notna()]
            if target:
                ax.plot(missed["batch_size"] * side, np.full(len(missed), top * 1.6), "x", color=look.color,
                        markersize=5, clip_on=False)  # fmt: skip
        ax.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
        if target:
            ax.set_ylim(bottom * 0.8, top * 2)
        style.plain_ticks(ax.yaxis, *ax.get_ylim())
        if not target:
            # The panel of rates has a different axis, whose labels need space.
            place = ax.get_position()
            room = _ROOM / figure.get_figwidth()
            ax.set_position((place.x0 + room, place.y0, place.width - room, place.height))
            ax.tick_params(labelleft=True)
    return figure, drawn


def _what(drawn: pd.DataFrame, target: str | None) -> str:
    """What a panel shows: the cost to a target, or without one the tuned rate."""
    if target is None:
        return "tuned learning rate"
    goal = drawn.loc[drawn["target_name"] == target, "target"]
    return f"cost to {target} ({style.plain_number(float(goal.iloc[0]))})"
