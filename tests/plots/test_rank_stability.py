"""The panels of the stability plot are the variations of its table."""

from __future__ import annotations

import pytest

from optbench.metrics.rank_stability import rank_stability as table_of
from optbench.plots import style
from optbench.plots.rank_stability import rank_stability
from tests.support.frames import make
from tests.support.studies import study


def test_lines_are_mean_ranks() -> None:
    frames = make(optimizers=["adam", "sgd", "rmsprop"])
    table = table_of(frames.runs, frames.curves, frames.cells)
    figure, drawn = rank_stability(table, frames.cells)
    assert drawn is table
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["by validation loss at", "seeds", "problems"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    seeds = table[table["variation"].isin(["none", "seed"])]
    for name, line in zip(names, figure.axes[1].lines, strict=True):
        assert line.get_ydata().tolist() == seeds[seeds["optimizer"] == name]["mean_rank"].tolist()
    assert any(text.get_text().startswith("τ") for text in figure.axes[1].texts)


def test_nothing_to_vary() -> None:
    alone = study({"adam": [1.0, 2.0]})
    with pytest.raises(style.NothingToDraw, match="a ranking needs at least two optimizers"):
        rank_stability(table_of(alone.runs, alone.curves, alone.cells), alone.cells)
    once = study({"adam": [1.0], "sgd": [2.0]})
    table = table_of(once.runs, once.curves.iloc[:0], once.cells)
    with pytest.raises(style.NothingToDraw, match="the only seed cannot be left out"):
        rank_stability(table, once.cells)
