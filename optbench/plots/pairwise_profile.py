"""Performance profiles of each pair of optimizers alone, summarised as the difference of their areas."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from optbench.formatting import format_number
from optbench.plots import style


@mpl.rc_context(style.RC)
def pairwise_profile(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws the difference of the areas under the profiles by cost of each pair: row minus column, blue is better.

    `table` is the frame of `metrics.pairwise_profile`. A difference is in brackets if its interval contains 0 or is
    unknown. Optimizers are in order of their mean difference. Returns the figure and the matrix drawn. Raises
    NothingToDraw if no two optimizers have a unit in common.
    """
    pairs = table[(table["measure"] == "cost") & table["difference"].notna()]
    if pairs.empty:
        raise style.NothingToDraw("no two optimizers have a target in common")
    turned = pairs.rename(columns={"a": "b", "b": "a"}).assign(
        difference=-pairs["difference"],
        difference_low=-pairs["difference_high"],
        difference_high=-pairs["difference_low"],
    )
    both = pd.concat([pairs, turned])
    order = both.groupby("a")["difference"].mean().sort_values(ascending=False, kind="stable").index
    drawn = both.pivot(index="a", columns="b", values="difference").reindex(index=order, columns=order)
    decided = (both["difference_low"] > 0) | (both["difference_high"] < 0)
    sure = both.assign(sure=decided).pivot(index="a", columns="b", values="sure").reindex(index=order, columns=order)
    texts = drawn.map(_text)
    texts = texts.where(sure.fillna(False).astype(bool) | (texts == ""), "(" + texts + ")")
    room = 0.3 + 0.085 * max(map(len, order))
    across, up = 0.72 * len(order), 0.36 * len(order)
    figure = style.make_figure(
        (room + across + 0.2, 0.75 + up + room),
        "Pairwise profiles",
        "area under the profile of the row minus that of the column, by cost, computed from these two alone; "
        "in brackets: the interval contains 0",
    )
    ax = style.add_axes(figure, (room, room, across, up))
    sns.heatmap(drawn.astype(float), ax=ax, cbar=False, cmap="vlag_r", vmin=-1, vmax=1, linewidths=1.5,
                linecolor=style.PAPER, annot=texts, fmt="", annot_kws={"size": 8})  # fmt: skip
    ax.set(xlabel="", ylabel="")
    ax.set_xticks(np.arange(len(order)) + 0.5, order, rotation=90)
    ax.set_yticks(np.arange(len(order)) + 0.5, order, rotation=0)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure, drawn


def _text(value: float) -> str:
    """A difference with two significant digits: a small one isn't zero, and has its sign."""
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return "" if np.isnan(value) else f"{sign}{format_number(abs(value), 2)}"
