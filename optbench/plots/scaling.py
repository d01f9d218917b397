"""Effective speed-up over the reference along a ladder: against the run budget, and against the size."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from optbench.metrics.ladders import LADDER
from optbench.metrics.scaling import AT_LEAST, AT_MOST
from optbench.plots import style

#: Panels that are drawn.
_MOST = 24


@mpl.rc_context(style.RC)
def scaling(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame] | None:
    """Draws one panel for each size, against the run budget, and one for each run budget, against the size.

    `table` is the frame of `metrics.scaling`. Bars are intervals; triangles are bounds, from which the speed-up is
    further up or down. Returns the figure and the rows that it draws, or None without a ladder.
    """
    drawn = table[table["speedup"].notna()].reset_index(drop=True)
    if table.empty:
        return None
    if drawn.empty:
        raise style.NothingToDraw("no optimizer has a speed-up: the reference needs at least two run budgets of a size")
    looks = style.looks(cells["optimizer"])
    panels = _panels(drawn)
    shown = panels[:_MOST]
    over = str(drawn["over"].iloc[0])
    left_out = f"; {len(panels) - len(shown)} more panels are not drawn" if len(panels) > len(shown) else ""
    figure, axes = style.sheet(
        "Speed-up along ladders",
        f"compute of {over} for the same loss, over that of each optimizer, {style.scope(cells)}{left_out}",
        len(shown),
        [
            *(style.key(looks[name], name) for name in sorted(drawn["optimizer"].unique())),
            Line2D([], [], color=style.INK, marker="^", linestyle="", markersize=5, label="at least"),
            Line2D([], [], color=style.INK, marker="v", linestyle="", markersize=5, label="at most"),
        ],
        size=(2.4, 2.1),
        titles=[title for title, _, _ in shown],
    )
    values = drawn["speedup"].astype(float)
    low, high = float(min(values.min() / 1.5, 0.5)), float(max(values.max() * 1.5, 2))
    for ax, (_, axis, own) in zip(axes, shown, strict=True):
        ax.set(xscale="log", yscale="log", xlabel="run budget (example gradients)" if axis == "run_budget" else "size")
        places = sorted(own[axis].astype(float).unique())
        ax.xaxis.set_major_locator(FixedLocator(places))
        ax.xaxis.set_major_formatter(FuncFormatter(style.plain_number))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlim(places[0] / 1.4, places[-1] * 1.4)
        ax.set_ylim(low, high)
        ax.axhline(1, color=style.INK, linewidth=0.8)
        style.plain_ticks(ax.yaxis, low, high)
        known = sorted(looks)
        for name, line in own.groupby("optimizer", sort=True):
            # Each optimizer is moved slightly to the side, so that equal marks do not hide each other.
            side = 1 + 0.16 * (known.index(str(name)) / max(len(known) - 1, 1) - 0.5)
            _draw_line(ax, line.sort_values(axis), axis, looks[str(name)], side)
    axes[0].set_ylabel(f"speed-up over {over}")
    return figure, drawn


def _panels(drawn: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Returns title, column of the x axis and rows of each panel."""
    several = [name for name in LADDER if drawn[name].nunique() > 1]
    panels = []
    for key, own in drawn.groupby(LADDER, observed=True, sort=False):
        where = [str(value) for name, value in zip(LADDER, key, strict=True) if name in several or name == "ladder"]
        for axis, fixed in (("run_budget", "size"), ("size", "run_budget")):
            for value, part in own.groupby(fixed, sort=True, dropna=False):
                if part[axis].nunique() > 1:
                    known = (
                        [f"{fixed.replace('_', ' ')} {style.plain_number(float(str(value)))}"]
                        if pd.notna(value)
                        else []
                    )
                    panels.append((", ".join([*where, *known]), axis, part))
    return panels


def _draw_line(ax: Axes, line: pd.DataFrame, axis: str, look: style.Look, side: float) -> None:
    x, y = line[axis].astype(float) * side, line["speedup"].astype(float)
    ax.plot(x, y, color=look.color, linestyle=look.dash, linewidth=1.3)
    bottom, top = ax.get_ylim()
    ends: list[Any] = [line[name].astype(float).clip(bottom, top) for name in ("speedup_low", "speedup_high")]
    ax.vlines(x, *ends, color=look.color, linewidth=1.0, alpha=0.7)
    marks = line["bound"].map({AT_LEAST: "^", AT_MOST: "v"}).fillna(look.marker)
    for marker in marks.unique():
        chosen = np.asarray(marks == marker)
        ax.plot(x[chosen], y[chosen], linestyle="", color=look.color, marker=marker, markersize=5)
