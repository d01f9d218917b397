"""The plot of recommendations shows the rows about all tasks."""

from __future__ import annotations

import pytest
from matplotlib.markers import CARETRIGHT

from optbench.metrics.recommendation import recommendation as table_of
from optbench.plots import style
from optbench.plots.recommendation import recommendation
from tests.support.frames import VALLEY, make
from tests.support.studies import study


def test_one_panel_a_budget_one_mark_an_optimizer() -> None:
    frames = make(optimizers=["adam", "sgd", "rmsprop"])
    table = table_of(frames.trials, frames.runs, frames.cells)
    figure, drawn = recommendation(table, frames.cells)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["no tuning", "compute of 6 runs", "compute of 12 runs"]
    assert set(drawn["scope"]) == {"all tasks"}
    for ax, (_, part) in zip(figure.axes, drawn.groupby("trials"), strict=True):
        marks = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1
                 and line.get_marker() != CARETRIGHT]  # fmt: skip
        beyond = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == CARETRIGHT]
        assert set(beyond) <= {ax.get_xlim()[1]}
        assert len(beyond) == (1 + part["regret_high"] > ax.get_xlim()[1]).sum(), "an interval that is cut is marked"
        assert sorted(marks) == pytest.approx(sorted(1 + part["expected_regret"]))


def test_one_problem_has_no_bars() -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY])
    figure, _ = recommendation(table_of(frames.trials, frames.runs, frames.cells), frames.cells)
    assert all(len(line.get_xdata()) == 1 for ax in figure.axes for line in ax.lines)


def test_nothing_to_recommend() -> None:
    found = study({"adam": [None]}, trials={"adam": [None, None]})
    with pytest.raises(style.NothingToDraw, match="no optimizer has a finite loss on all tasks"):
        recommendation(table_of(found.trials, found.runs, found.cells), found.cells)
