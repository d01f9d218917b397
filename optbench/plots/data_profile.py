"""Data profiles: the share of targets that an optimizer reaches within a share of the budget."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.metrics.data_profile import data_profile_curves
from optbench.plots import style


@mpl.rc_context(style.RC)
def data_profile(times: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws one line per optimizer, up to the whole run budget.

    `times` is the frame of `time_to_target` for the compared runs. Returns the figure and the frame of
    `data_profile_curves`. Raises NothingToDraw if no time is known.
    """
    drawn = data_profile_curves(times)
    if drawn.empty:
        raise style.NothingToDraw("for no run is it known whether it reached a target")
    looks = style.looks(cells["optimizer"])
    figure, (ax,) = style.sheet(
        "Data profile",
        "share of (problem × batch size × target × seed) reached within a share of the run budget",
        1,
        [style.key(looks[name], name) for name in sorted(cells["optimizer"].unique())],
        size=(5.2, 3.4),
    )
    for name, line in drawn.groupby("optimizer"):
        look = looks[str(name)]
        at, share = [0.0, *line["budget_share"], 1.0], [0.0, *line["share"], line["share"].iloc[-1]]
        every = max(len(at) // 6, 1)
        ax.plot(at, share, color=look.color, linestyle=look.dash, linewidth=1.8, drawstyle="steps-post",
                marker=look.marker, markersize=4.5,
                markevery=(sorted(looks).index(str(name)) % every, every))  # fmt: skip
    ax.set(xlim=(0, 1.0), ylim=(0, 1.02), xlabel="cost, as a share of the run budget", ylabel="share reached")
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    return figure, drawn
