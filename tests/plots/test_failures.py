"""Every failed training with a curve is a line that ends in a cross."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.metrics.failures import failures as table_of
from optbench.plots import style
from optbench.plots.failures import failures
from tests.frames import VALLEY, make
from tests.studies import study


def test_lines_end_in_crosses() -> None:
    frames = make()
    table = table_of(frames.trials, frames.runs, frames.curves, frames.cells)
    figure, drawn = failures(table, frames.curves, frames.cells, VALLEY)
    own = frames.curves.query("problem == @VALLEY and status != 'ok'")
    assert len(drawn) == len(own)
    np.testing.assert_allclose(
        drawn["relative_loss"].to_numpy()[:-1], (own["valid_loss"] / own["valid_loss"].iloc[0]).to_numpy()[:-1]
    )
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert len(crosses) == 1
    assert crosses[0].get_xdata()[0] == own["cost"].max()


def test_nothing_failed_or_nothing_is_known_of_it() -> None:
    found = study({"adam": [1.0, None]})
    table = table_of(found.trials, found.runs, found.curves, found.cells)
    with pytest.raises(style.NothingToDraw, match=r"what failed has no curve \(adam: diverged\)"):
        failures(table, found.curves.iloc[:0], found.cells, "bowl")
    with pytest.raises(style.NothingToDraw, match="nothing failed"):
        failures(table.iloc[:0], found.curves, found.cells, "bowl")
    figure, drawn = failures(table, found.curves, found.cells, "bowl")
    assert drawn["relative_loss"].isna().sum() == 1, "the last loss is no number"
    assert len([line for line in figure.axes[0].lines if line.get_marker() == "X"]) == 1
