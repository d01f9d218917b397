"""The expected regret of each optimizer at each tuning budget, and which optimizer is recommended."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.markers import CARETRIGHT

from optbench.metrics.recommendation import ALL
from optbench.plots import style


@mpl.rc_context(style.RC)
def recommendation(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws one panel per tuning budget and one row per optimizer, the lowest expected regret at the top.

    `table` is the frame of `metrics.recommendation`; its rows about all tasks with a budget of trials are drawn. Bars
    are intervals. Marks are hollow for optimizers without a significant difference from the recommended one. Returns
    the figure and the rows drawn. Raises NothingToDraw if no optimizer has a finite loss on all tasks.
    """
    drawn = table[(table["scope"] == ALL) & table["trials"].notna() & table["expected_regret"].notna()]
    if drawn.empty:
        raise style.NothingToDraw("no optimizer has a finite loss on all tasks, or losses are not positive")
    looks = style.looks(cells["optimizer"])
    budgets = sorted(drawn["trials"].unique())
    names = [str(name) for name in drawn[drawn["trials"] == budgets[-1]]["optimizer"]]
    names += [str(name) for name in drawn["optimizer"].unique() if str(name) not in names]
    problems, tasks = int(drawn["problems"].max()), int(drawn["tasks"].max())
    figure, axes = style.sheet(
        "Expected regret by tuning budget",
        f"{problems} problem{'s' * (problems != 1)}, {tasks} task{'s' * (tasks != 1)}; "
        "bars: 95 % intervals (▸: continues); large mark: recommended; "
        "hollow: no significant difference",
        len(budgets),
        size=(2.5, 0.28 * len(names) + 0.15),
        labels=names,
    )
    ratios = 1 + drawn["expected_regret"]
    high = max(float(ratios.max()) * 1.5, 1.5)
    for ax, budget in zip(axes, budgets, strict=True):
        part = drawn[drawn["trials"] == budget].set_index("optimizer")
        for line, name in enumerate(names):
            if name in part.index:
                _line(ax, line, part.loc[name], looks[name], high)
        worth = float(part["tuning_worth"].iloc[0])
        title = f"compute of {worth:.3g} run{'s' * (worth != 1)}" if worth else "no tuning"
        ax.set(title=title, xscale="log", xlim=(0.95, high), ylim=(len(names) - 0.4, -0.6), xlabel="loss / best found")
        style.plain_ticks(ax.xaxis, 0.95, high)
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(axis="y", length=0)
    return figure, drawn.reset_index(drop=True)


def _line(ax: mpl.axes.Axes, line: int, row: pd.Series, look: style.Look, high: float) -> None:
    if pd.notna(row["regret_high"]):
        ends = [1 + row["regret_low"], min(1 + row["regret_high"], high)]
        ax.plot(ends, [line, line], color=look.color, linewidth=4, alpha=0.3, solid_capstyle="butt")
        if 1 + row["regret_high"] > high:  # it continues beyond the axis
            ax.plot(high, line, marker=CARETRIGHT, color=look.color, markersize=6, clip_on=False)
    hollow = row["not_told_apart"] is not pd.NA and bool(row["not_told_apart"])
    shown = 9 if row["recommended"] else 6
    face = style.PAPER if hollow else look.color
    alpha = 1.0 if row["recommended"] or hollow else 0.6
    ax.plot(
        1 + row["expected_regret"],
        line,
        look.marker,
        color=look.color,
        markerfacecolor=face,
        markersize=shown,
        alpha=alpha,
    )
