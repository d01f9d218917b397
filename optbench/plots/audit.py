"""Which cells the audit found something about, and what."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots import style
from optbench.plots.grid import fields, fill, grid, patch
from optbench.results.stored import CELL

#: Findings about the tuning are one colour, about trials that failed a second, about seeds and selection a third.
_COLORS = {
    "edge": style.ORANGE, "still_falling": style.ORANGE, "default_not_beaten": style.ORANGE,
    "inclusion": style.ORANGE, "few_trials": style.VERMILLION,
}  # fmt: skip
_LEGEND = [
    patch(style.ORANGE, "tuning"), patch(style.VERMILLION, "failed trials"), patch(style.PURPLE, "seeds, selection"),
]  # fmt: skip
_SHORT = {
    "default_not_beaten": "default\nnot beaten", "still_falling": "still falling", "few_trials": "few trials",
    "reused_seed": "reused seed", "repeated_seed": "repeated seed",
}  # fmt: skip


@mpl.rc_context(style.RC)
def audit(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """A field for each cell with a finding, the optimizers with most of them at the top; the others are empty.

    `table` is the frame of `metrics.audit`. Returns the figure and the findings by cell. Raises NothingToDraw where
    there are none.
    """
    if table.empty:
        raise style.NothingToDraw("the audit found nothing")
    drawn = table.groupby(CELL, observed=True, sort=True)["finding"].agg(lambda own: list(dict.fromkeys(own)))
    counts = table.groupby("optimizer").size().reindex(sorted(cells["optimizer"].unique()), fill_value=0)
    names = list(counts.sort_values(ascending=False, kind="stable").index)
    figure, ax, columns = grid(
        cells, names, "Audit of the tuning",
        f"{len(drawn)} of {len(cells)} cells have a finding; their figures may tell of tuning, not of the optimizer",
        _LEGEND,
    )  # fmt: skip
    frame = drawn.reset_index()
    for column, line, row in fields(frame, names, columns):
        found = row["finding"]
        worst = max((_COLORS.get(name, style.PURPLE) for name in found), key=_weight)
        first = _SHORT.get(found[0], found[0])
        several = f"{first.replace(chr(10), ' ')}\n+ {len(found) - 1} more"
        fill(ax, column, line, worst, first if len(found) == 1 else several)
    return figure, frame.assign(finding=frame["finding"].map(", ".join))


def _weight(color: str) -> int:
    return (style.ORANGE, style.VERMILLION, style.PURPLE).index(color)
