"""The critical-difference diagram (Demšar 2006): mean ranks, with bars across groups that do not differ."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots import style


@mpl.rc_context(style.RC)
def critical_difference(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws the optimizers on an axis of mean ranks, the best at the left, with a bar across each group without a
    significant difference.

    `table` is the frame of `metrics.critical_difference`. Returns the figure and the table. Raises NothingToDraw with
    the table's reason if there are no groups, as with fewer than ten problems.
    """
    if table.empty or (table["groups"] == "").all():
        raise style.NothingToDraw(str(table["note"].iloc[0]) if len(table) else "no run has finished")
    looks, names = style.looks(cells["optimizer"]), [str(name) for name in table["optimizer"]]
    groups = sorted({letter for own in table["groups"] for letter in own})
    bars = [table[table["groups"].str.contains(letter, regex=False)] for letter in groups]
    bars = [part for part in bars if len(part) > 1]
    p = table["friedman_p"].iloc[0]
    figure, (ax,) = style.sheet(
        "Critical differences",
        f"mean rank over {table['problems'].iloc[0]} problems; bars join optimizers that do not differ significantly "
        f"(Wilcoxon's test, Holm's adjustment; Friedman: p = {p:.2g})",
        1,
        size=(6.0, 0.28 * len(names) + 0.16 * len(bars) + 0.1),
        labels=names,
    )
    top = -0.6 * len(bars)
    for index, part in enumerate(bars):
        ax.plot([part["mean_rank"].min() - 0.03, part["mean_rank"].max() + 0.03], [top + 0.55 * index] * 2,
                color=style.INK, linewidth=4, solid_capstyle="butt")  # fmt: skip
    for line, row in enumerate(table.to_dict("records")):
        look = looks[row["optimizer"]]
        ax.plot([row["mean_rank"]] * 2, [top - 0.5, line], color=look.color, linewidth=0.9, linestyle=look.dash)
        ax.plot(row["mean_rank"], line, look.marker, color=look.color, markersize=6.5)
    ax.set(xlabel="mean rank (1 is best)", ylim=(len(names) - 0.4, top - 0.6), xlim=(0.8, len(names) + 0.2))
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    return figure, table
