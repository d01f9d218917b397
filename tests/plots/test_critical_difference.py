"""The critical-difference diagram: bars for groups, and none below ten problems."""

from __future__ import annotations

import pytest

from optbench.metrics.critical_difference import critical_difference as table_of
from optbench.plots import style
from optbench.plots.critical_difference import critical_difference
from tests.metrics.test_critical_difference import problems


def test_bars_join_what_is_not_told_apart() -> None:
    found = problems(12, {"adam": 0.0, "nadam": 0.01, "sgd": 1.0})
    table = table_of(found.runs, found.curves, found.cells)
    figure, drawn = critical_difference(table, found.cells)
    assert drawn is table
    bars = [line for line in figure.axes[0].lines if line.get_linewidth() == 4]
    assert len(bars) == 1
    ranks = table.set_index("optimizer")["mean_rank"]
    assert tuple(bars[0].get_xdata()) == pytest.approx(
        (ranks[["adam", "nadam"]].min() - 0.03, ranks["nadam"] + 0.03)
    ) or (bars[0].get_xdata()[1] == pytest.approx(ranks["adam"] + 0.03))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == table["optimizer"].tolist()


def test_too_few_problems_say_so() -> None:
    found = problems(3, {"adam": 0.0, "sgd": 1.0})
    table = table_of(found.runs, found.curves, found.cells)
    with pytest.raises(style.NothingToDraw, match=r"needs 10 problems \(available: 3\)"):
        critical_difference(table, found.cells)
