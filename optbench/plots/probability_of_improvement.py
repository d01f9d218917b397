"""The probability that each optimizer beats each other one on a new seed, as a matrix."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from optbench.plots import style


@mpl.rc_context(style.RC)
def probability_of_improvement(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws P(row better than column) in percent, in brackets if its interval contains one half.

    `table` is the frame of `metrics.probability_of_improvement`. Optimizers are in order of their mean. Returns the
    figure and the matrix drawn. Raises NothingToDraw if no two optimizers have a seed in common.
    """
    pairs = table[table["probability"].notna()]
    if pairs.empty:
        raise style.NothingToDraw("no two optimizers were run on the same seed of a task")
    order = pairs.groupby("optimizer")["probability"].mean().sort_values(ascending=False, kind="stable").index
    sure = (pairs["probability_low"] > 0.5) | (pairs["probability_high"] < 0.5)
    percent = (100 * pairs["probability"]).map("{:.0f}".format)
    texts = percent.where(sure, "(" + percent + ")")
    wide = pairs.assign(text=texts).pivot(index="optimizer", columns="other", values=["probability", "text"])
    drawn = pd.DataFrame(wide["probability"]).astype(float).reindex(index=order, columns=order)
    labels = pd.DataFrame(wide["text"]).reindex(index=order, columns=order).fillna("")
    room = 0.3 + 0.085 * max(map(len, order))
    across, up = 0.6 * len(order), 0.36 * len(order)
    n = int(pairs["n_pairs"].max())
    figure = style.make_figure(
        (room + across + 0.2, 0.75 + up + room),
        "Probability of improvement",
        f"that the row beats the column on a new seed, in percent; {n} problems × seeds; in brackets: may be chance",
    )
    ax = style.add_axes(figure, (room, room, across, up))
    sns.heatmap(drawn, ax=ax, cbar=False, cmap="vlag_r", vmin=0, vmax=1, linewidths=1.5, linecolor=style.PAPER,
                annot=labels, fmt="", annot_kws={"size": 8})  # fmt: skip
    ax.set(xlabel="", ylabel="")
    ax.set_xticks(np.arange(len(order)) + 0.5, order, rotation=90)
    ax.set_yticks(np.arange(len(order)) + 0.5, order, rotation=0)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure, drawn
