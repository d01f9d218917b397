"""Every failed training with a curve is a line that ends in a cross."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.metrics.failures import failures as table_of
from optbench.plots import style
from optbench.plots.failures import failures
from tests.support.frames import VALLEY, make
from tests.support.studies import study


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
    with pytest.raises(style.NothingToDraw, match=r"the failures have no curves \(adam: diverged\)"):
        failures(table, found.curves.iloc[:0], found.cells, "bowl")
    with pytest.raises(style.NothingToDraw, match="nothing failed"):
        failures(table.iloc[:0], found.curves, found.cells, "bowl")
    figure, drawn = failures(table, found.curves, found.cells, "bowl")
    assert drawn["relative_loss"].isna().sum() == 1, "the last loss is no number"
    assert len([line for line in figure.axes[0].lines if line.get_marker() == "X"]) == 1


def test_crosses_in_one_place_share_a_label() -> None:
    better = {"sgd": (0.5, 1.0, 0.7)}
    found = study({"adam": [1.0, None], "sgd": [1.0, None], "momentum": [1.0, 1.0]}, trials=better)
    table = table_of(found.trials, found.runs, found.curves, found.cells)
    assert table["lr"].nunique() == len(table) == 2
    figure, drawn = failures(table, found.curves, found.cells, "bowl")
    figure.canvas.draw()
    texts = [text for text in figure.axes[0].texts if text.get_text().startswith("lr ")]
    boxes = [text.get_window_extent() for text in texts]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    shown = ", ".join(text.get_text().removeprefix("lr ") for text in texts).split(", ")
    assert {float(rate) for rate in shown} == set(drawn["lr"])
