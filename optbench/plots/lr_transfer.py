"""The regret of using a learning rate that was tuned on another problem or batch size."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optbench.plots import style

#: Regrets up to this are drawn on a linear scale, larger ones on a logarithmic one.
_LINEAR = 0.1


@mpl.rc_context(style.RC)
def lr_transfer(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws the regrets across batch sizes (left) and across problems (right).

    A mark is a pair of cells; a cross means that training diverges at the other cell's rate. Pairs whose rate was not
    tried are counted at the right. `table` is the frame of `metrics.lr_transfer`. Returns the figure and the table.
    Raises NothingToDraw without pairs.
    """
    if table.empty:
        raise style.NothingToDraw("no optimizer was tuned on two problems or at two batch sizes")
    looks = style.looks(cells["optimizer"])
    regret = table["regret"].mask(table["outcome"] == "diverges", np.inf)
    with np.errstate(invalid="ignore"):  # the mean of two infinite regrets
        medians = regret.groupby(table["optimizer"]).median().fillna(np.inf)
    names = [str(name) for name in medians.sort_values(kind="stable").index]
    titles = {"batch_size": "to another batch size", "problem": "to another problem"}
    panels = [across for across in titles if (table["across"] == across).any()]
    figure, axes = style.sheet(
        "Learning-rate transfer",
        "validation loss at the rate tuned elsewhere, as excess over the best trial of the cell",
        len(panels),
        [Line2D([], [], color=style.INK, marker="o", linestyle="", markersize=5, label="a pair of cells"),
         Line2D([], [], color=style.INK, marker="|", linestyle="", markersize=12, markeredgewidth=2,
                label="median of all pairs"),
         Line2D([], [], color=style.INK, marker="x", linestyle="", markersize=5, label="diverges at that rate")],
        size=(3.9, 0.3 * len(names) + 0.2),
        labels=names,
    )  # fmt: skip
    top = max(float(table["regret"].max(skipna=True)), _LINEAR) if table["regret"].notna().any() else _LINEAR
    for ax, across in zip(axes, panels, strict=True):
        ax.set_xscale("symlog", linthresh=_LINEAR, linscale=0.6)
        ax.set(title=titles[across], xlabel="regret", xlim=(-0.015, top * 300), ylim=(len(names) - 0.4, -0.6))
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(axis="y", length=0)
        marks = [0, 0.1, *(10.0**power for power in range(7) if 10.0**power <= top * 2)]
        ax.set_xticks(marks, [f"{100 * mark:g} %" for mark in marks], minor=False)
        ax.set_xticks([], minor=True)
        for line, name in enumerate(names):
            own = table[(table["across"] == across) & (table["optimizer"] == name)]
            known = own["regret"].dropna()
            look = looks[name]
            ax.plot(known, np.full(len(known), line), look.marker, color=look.color, markersize=5, alpha=0.6,
                    linestyle="", clip_on=False)  # fmt: skip
            lost = int((own["outcome"] == "diverges").sum())
            middle = np.median([*known, *[np.inf] * lost]) if len(known) + lost else np.nan
            if not np.isnan(middle):  # if half of the pairs diverge, the median is drawn at the crosses
                place = middle if np.isfinite(middle) else top * 3
                ax.plot([place], [line], "|", color=look.color, markersize=13, markeredgewidth=2)
            ax.plot([top * 3] * (lost > 0), [line] * (lost > 0), "x", color=look.color, markersize=6)
            unknown = int((own["outcome"] == "not tried").sum())
            if unknown:
                ax.text(0.99, line, f"{unknown} of {len(own)} not tried", transform=ax.get_yaxis_transform(),
                        ha="right", va="center", size=7, color=style.INK)  # fmt: skip
    return figure, table
