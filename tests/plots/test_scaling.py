"""The plot of speed-ups along a ladder."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from optbench.metrics.scaling import scaling as scaling_table
from optbench.plots import style
from optbench.plots.scaling import scaling
from tests.metrics.test_scaling import made, sized


def test_a_panel_for_each_size_and_run_budget() -> None:
    runs, cells = sized({8: 2.0, 32: 1.5})
    table = scaling_table(runs, cells)
    drawn = scaling(table, cells)
    assert drawn is not None
    figure, rows = drawn
    pd.testing.assert_frame_equal(rows, table)
    titles = [ax.get_title(loc="left").replace("\n", " ") for ax in figure.axes]
    assert [title for title in titles if title] == [
        "p, size 8", "p, size 32", "p, run budget 1000", "p, run budget 4000", "p, run budget 16000",
    ]  # fmt: skip
    marks = [
        (line.get_marker(), [float(value) for value in line.get_ydata()])
        for line in figure.axes[0].lines
        if line.get_linestyle() == "None"
    ]
    own = table[table["size"] == 8]
    assert sorted(value for _, values in marks for value in values) == pytest.approx(sorted(own["speedup"]))
    triangles = [values for marker, values in marks if marker == "^"]
    assert triangles == [pytest.approx(own.loc[own["bound"] == "at least", "speedup"].tolist())]
    colors = {to_hex(line.get_color()) for line in figure.axes[0].lines if line.get_linestyle() == "None"}
    assert colors == {style.looks(cells["optimizer"])["a"].color}


def test_without_a_ladder_or_a_speedup_nothing_is_drawn() -> None:
    runs, cells = made(count=1)
    assert scaling(scaling_table(runs, cells), cells) is None
    runs, cells = sized({8: 2.0, 32: 1.5})
    cells = cells[cells["run_budget"] == 1000]
    table = scaling_table(runs[runs["cell_id"].isin(cells["cell_id"])], cells)
    with pytest.raises(style.NothingToDraw, match="at least two run budgets"):
        scaling(table, cells)
