"""Performance profiles, one panel per optimizer: how often it is within a factor of the fastest."""

from __future__ import annotations

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from optbench.metrics.performance_profile import profile_curves
from optbench.plots import paper, style
from optbench.statistics.profiles import RATIO_MAX

_COLUMNS = 5


@mpl.rc_context(style.RC)
def performance_profile(table: pd.DataFrame, times: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws the profile by cost of each optimizer with its interval, best area first, the others in grey behind it.

    `table` and `times` are the frames of `metrics.performance_profile` and `time_to_target` (of the compared runs).
    Returns the figure and the frame of `profile_curves`. Raises NothingToDraw if no unit is common to all optimizers.
    """
    areas = table[(table["measure"] == "cost") & table["area"].notna()]
    if areas.empty:
        raise style.NothingToDraw("there is no problem and batch size with a target on which all optimizers were run")
    looks = style.looks(cells["optimizer"])
    drawn = profile_curves(times)
    units = int(areas["units"].iloc[0])
    figure, axes = style.sheet(
        "Performance profile",
        f"share of {units} targets (problem × batch size × target) reached within a factor of the cost of the fastest "
        "optimizer",
        len(areas),
        size=(1.75, 1.55),
        columns=_COLUMNS,
    )
    lines = {str(name): line for name, line in drawn.groupby("optimizer")}
    for index, (ax, row) in enumerate(zip(axes, areas.to_dict("records"), strict=True)):
        name = row["optimizer"]
        for other, line in lines.items():
            if other != name:
                ax.plot(line["ratio"], line["share"], color=style.GRID, linewidth=1, drawstyle="steps-post", zorder=1)
        own, look = lines[name], looks[name]
        ax.fill_between(own["ratio"], own["share_low"], own["share_high"], step="post", color=look.color, alpha=0.2,
                        linewidth=0)  # fmt: skip
        ax.plot(own["ratio"], own["share"], color=look.color, linewidth=1.8, drawstyle="steps-post", zorder=3)
        bounds = "" if math.isnan(row["area_low"]) else f" [{row['area_low']:.2f}, {row['area_high']:.2f}]"
        ax.set_title(f"{style.break_label(name)}\n{row['area']:.2f}{bounds}", size=8.5, pad=3)
        ax.set(xscale="log", xlim=(1, RATIO_MAX), ylim=(0, 1.02))
        ax.set_yticks([0, 0.5, 1])
        ax.xaxis.set_major_locator(FixedLocator([1, 2, 4]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        # They would touch the title of a panel below.
        ax.tick_params(labelbottom=index + _COLUMNS >= len(axes))
    figure.supxlabel(
        "cost to target relative to the fastest",
        size=9.5,
        y=0.1 / figure.get_figheight(),
        va="bottom",
        label=paper.X_LABEL,
    )
    figure.supylabel("share of targets", size=9.5, x=0.08 / figure.get_figwidth(), ha="left", label=paper.Y_LABEL)
    return figure, drawn
