"""The aggregate's plot shows its table, and intervals only where there are some."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.metrics.aggregate import aggregate as table_of
from optbench.plots import style
from optbench.plots.aggregate import aggregate
from tests.metrics.test_aggregate import problems
from tests.support.studies import study


@pytest.mark.parametrize(("seeds", "intervals"), [(8, True), (2, False)])
def test_points_and_intervals(seeds: int, intervals: bool) -> None:
    frames = problems(np.random.default_rng(seeds), seeds=seeds)
    table = table_of(frames.runs, frames.curves, frames.cells)
    figure, drawn = aggregate(table, frames.cells)
    lines = figure.axes[0].lines
    points = [line.get_xdata()[0] for line in lines if len(line.get_xdata()) == 1]
    assert points == drawn["iqm"].tolist()
    assert sum(len(line.get_xdata()) == 2 for line in lines) == (2 if intervals else 0)
    assert ("too few seeds for an interval" in figure.texts[1].get_text()) != intervals
    assert figure.axes[0].get_yticklabels()[0].get_text().startswith(drawn["optimizer"].iloc[0])


def test_nothing_in_common() -> None:
    found = study({("a", 10, "adam"): [1.0], ("b", 10, "sgd"): [1.0]})
    table = table_of(found.runs, found.curves, found.cells)
    with pytest.raises(style.NothingToDraw, match="no task that all optimizers have run"):
        aggregate(table, found.cells)
