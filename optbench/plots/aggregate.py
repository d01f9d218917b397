"""Scores over all problems: the interquartile mean of the normalised scores of each optimizer, with its interval."""

from __future__ import annotations

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots import style


@mpl.rc_context(style.RC)
def aggregate(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws one row per optimizer, the best at the top, with a bar for the interval if there is one.

    `table` is the frame of `metrics.aggregate`. Returns the figure and the table. Raises NothingToDraw with the
    table's reason if no task is common to all optimizers.
    """
    drawn = table[table["iqm"].notna()]
    if drawn.empty:
        raise style.NothingToDraw(str(table["note"].iloc[0]) if len(table) else "no run has finished")
    looks, names = style.looks(cells["optimizer"]), [str(name) for name in drawn["optimizer"]]
    labels = [f"{name}  {rank:.1f}" for name, rank in zip(names, drawn["mean_rank"], strict=True)]
    first = drawn.iloc[0]
    note = f"; {first['note']}" if first["note"] else ""
    figure, (ax,) = style.sheet(
        "All problems together",
        f"interquartile mean over {first['problems']} problems, {first['tasks']} tasks, {first['seeds']} seeds{note}; "
        "next to the name: mean rank",
        1,
        size=(5.4, 0.3 * len(names) + 0.1),
        labels=labels,
    )
    for line, row in enumerate(drawn.to_dict("records")):
        look = looks[row["optimizer"]]
        if math.isfinite(row["iqm_low"]):
            ax.plot([row["iqm_low"], row["iqm_high"]], [line, line], color=look.color, linewidth=5, alpha=0.35,
                    solid_capstyle="butt")  # fmt: skip
        ax.plot(row["iqm"], line, look.marker, color=look.color, markersize=6.5)
    ax.set(xlabel="score: 0 untrained, 1 at the target", ylim=(len(names) - 0.4, -0.6))
    ax.set_yticks(range(len(names)), labels)
    ax.tick_params(axis="y", length=0)
    return figure, drawn.reset_index(drop=True)
