"""The curves drawn against counting, and what is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.plots import style
from optbench.plots.time_to_target import success_curves, time_to_target
from tests.support.profiled import MISS, UNKNOWN, times_of
from tests.support.rows import cell_of, frame

CELLS = frame([cell_of("adam"), cell_of("sgd")], "cells")


def test_the_fraction_solved_by_counting() -> None:
    costs = {"adam": [10.0, 40.0, MISS, 40.0], "sgd": [MISS, MISS, MISS, 100.0]}
    times = times_of({(name, "p", "easy"): own for name, own in costs.items()})
    figure, drawn = time_to_target(times, CELLS, "p")
    for name, line in drawn.groupby("optimizer"):
        for cost in (0, 9, 10, 39, 40, 99, 100):
            expected = np.mean([at is not None and at <= cost for at in costs[name]])
            assert line[line["cost"] <= cost]["solved"].iloc[-1] == pytest.approx(expected)
        assert line["cost"].iloc[-1] == 100.0
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "batch 10, easy: 0.5"
    assert len(ax.lines) == 2
    for line in ax.lines:
        assert len(line.get_markevery()) in (1, 2), "a mark for each cost at which seeds got there"


def test_a_panel_a_target_and_nothing_for_cells_that_are_not_known() -> None:
    times = times_of({("adam", "p", "easy"): [10.0], ("adam", "p", "hard"): [MISS], ("sgd", "p", "easy"): [UNKNOWN],
                      ("sgd", "p", "hard"): [50.0]})  # fmt: skip
    figure, drawn = time_to_target(times, CELLS, "p")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["batch 10, easy: 0.5", "batch 10, hard: 0.5"]
    assert [len(ax.lines) for ax in figure.axes] == [1, 2]
    assert set(map(tuple, drawn[["optimizer", "target_name"]].values)) == {
        ("adam", "easy"), ("adam", "hard"), ("sgd", "hard"),
    }  # fmt: skip


def test_what_is_missing_is_named() -> None:
    times = times_of({("adam", "p", "easy"): [UNKNOWN]})
    with pytest.raises(style.NothingToDraw, match="known"):
        time_to_target(times, CELLS, "p")
    with pytest.raises(style.NothingToDraw, match="no target"):
        time_to_target(times, frame([cell_of(problem="q")], "cells"), "q")
    assert len(success_curves(times_of({("adam", "p", "easy"): [MISS]}, budget=math.nan))) == 0
