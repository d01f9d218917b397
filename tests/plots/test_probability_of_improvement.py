"""The matrix of probabilities is that of its table."""

from __future__ import annotations

import pytest

from optbench.metrics.probability_of_improvement import probability_of_improvement as table_of
from optbench.plots import style
from optbench.plots.probability_of_improvement import probability_of_improvement
from tests.support.frames import make
from tests.support.studies import study


def test_the_matrix() -> None:
    frames = make(seeds=6)
    table = table_of(frames.runs, frames.cells)
    figure, drawn = probability_of_improvement(table)
    for row in table.to_dict("records"):
        assert drawn.loc[row["optimizer"], row["other"]] == row["probability"]
    assert list(drawn.index) == list(drawn.columns)
    means = drawn.mean(axis=1)
    assert means.is_monotonic_decreasing
    texts = [text.get_text() for text in figure.axes[0].texts]
    open_ = ((table["probability_low"] <= 0.5) & (table["probability_high"] >= 0.5)).sum()
    assert sum(text.startswith("(") for text in texts) == open_


def test_nobody_to_compare_with() -> None:
    alone = study({"adam": [1.0]})
    with pytest.raises(style.NothingToDraw):
        probability_of_improvement(table_of(alone.runs, alone.cells))
