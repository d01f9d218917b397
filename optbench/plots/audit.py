"""The cells with audit findings, and what was found."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots import style
from optbench.plots.grid import fields, fill, grid, patch
from optbench.results.stored import CELL

#: Three colours: one for findings about the tuning, one for failed trials, one for seeds and selection.
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
    "known_length": "known length",
}  # fmt: skip


@mpl.rc_context(style.RC)
def audit(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws a field for each cell with a finding, the optimizers with most findings at the top.

    `table` is the frame of `metrics.audit`. Returns the figure and the findings by cell. Raises NothingToDraw if
    there are no findings.
    """
    if table.empty:
        raise style.NothingToDraw("the audit has no findings")
    drawn = table.groupby(CELL, observed=True, sort=True)["finding"].agg(lambda own: list(dict.fromkeys(own)))
    counts = table.groupby("optimizer").size().reindex(sorted(cells["optimizer"].unique()), fill_value=0)
    names = list(counts.sort_values(ascending=False, kind="stable").index)
    figure, ax, columns = grid(
        cells, names, "Audit of the tuning",
        f"{len(drawn)} of {len(cells)} cells have a finding: they may reflect the tuning rather than the optimizer",
        _LEGEND,
    )  # fmt: skip
    frame = drawn.reset_index()
    for column, line, row in fields(frame, names, columns):
        findings = row["finding"]
        worst = max((_COLORS.get(name, style.PURPLE) for name in findings), key=_weight)
        first = _SHORT.get(findings[0], findings[0])
        several = f"{first.replace(chr(10), ' ')}\n+ {len(findings) - 1} more"
        fill(ax, column, line, worst, first if len(findings) == 1 else several)
    return figure, frame.assign(finding=frame["finding"].map(", ".join))


def _weight(color: str) -> int:
    return (style.ORANGE, style.VERMILLION, style.PURPLE).index(color)
