"""The figure of two recordings: the blocks of each test."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots import style
from optbench.timing.recording import Recording
from optbench.timing.text import sort_rows

#: The most tests in a figure.
MOST = 60
_COLOURS = {
    "slower": style.VERMILLION,
    "more work": style.VERMILLION,
    "faster": style.GREEN,
    "can't tell": style.ORANGE,
}


@mpl.rc_context(style.RC)
def distributions(frame: pd.DataFrame, base: Recording, head: Recording, bound: float) -> Figure:
    """Draws the time of every visit of both sides as a multiple of the base's median, with the bound as a line.

    Tests are sorted by verdict and ratio. If there are more than `MOST`, the last ones are left out and counted.
    """
    rows = sort_rows(frame)
    shown, left_out = rows.head(MOST), max(len(rows) - MOST, 0)
    note = f"; {left_out} more tests are not drawn" if left_out else ""
    figure = style.make_figure(
        (9.0, 1.45 + 0.24 * len(shown)),
        f"{head.label} against {base.label}",
        f"each dot is a visit (a process) as a multiple of the base's median; dashed: {bound:g}×{note}",
    )
    width, height = figure.get_size_inches()
    longest = max(len(_short(str(name))) for name in shown["test"])
    left = min(0.2 + 0.065 * longest, width - 3.0)
    ax = style.add_axes(figure, (left, 0.45, width - left - 0.2, height - 1.35))
    for place, row in enumerate(shown.itertuples()):
        name = str(row.test)
        middle = float(np.median(base.tests[name].blocks))
        for side, offset, color in ((base, -0.17, style.INK), (head, 0.17, _COLOURS.get(str(row.verdict), style.BLUE))):
            blocks = np.array(side.tests[name].blocks) / middle
            ax.plot(blocks, np.full(len(blocks), place + offset), "o", color=color, markersize=3.5, alpha=0.75)
    ax.axvline(1.0, color=style.INK, linewidth=0.8)
    ax.axvline(bound, color=style.INK, linewidth=0.8, linestyle="--")
    ax.set(xscale="log", ylim=(len(shown) - 0.4, -0.6), xlabel="time / median of the base")
    style.plain_ticks(ax.xaxis, *ax.get_xlim())
    ax.set_yticks(range(len(shown)), [_short(str(name)) for name in shown["test"]])
    keys = ((style.INK, base.label), (style.BLUE, head.label), (style.VERMILLION, "slower or more work"))
    ax.legend(
        handles=[
            mpl.lines.Line2D([], [], marker="o", linestyle="", color=color, label=label, markersize=4)
            for color, label in keys
        ],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=3,
        fontsize=7.5,
    )  # fmt: skip
    return figure


def _short(name: str) -> str:
    """The name without folder and file, which most tests have in common."""
    return name.rsplit("::", 1)[-1]
