"""The audit's grid has a field for each cell with a finding."""

from __future__ import annotations

import pytest

from optbench.metrics.audit import audit as table_of
from optbench.plots import style
from optbench.plots.audit import audit
from tests.support.frames import make
from tests.support.studies import study


def test_a_field_for_each_cell_with_a_finding() -> None:
    frames = make()
    table = table_of(frames.trials, frames.runs, frames.cells)
    figure, drawn = audit(table, frames.cells)
    assert len(drawn) == table["cell_id"].nunique() == len(figure.axes[0].patches)
    assert f"{len(drawn)} of 60 cells have a finding" in figure.texts[1].get_text()
    several = table.groupby("cell_id")["finding"].nunique()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert sum("more" in text for text in texts) == (several > 1).sum()


def test_nothing_found() -> None:
    found = study({"adam": [1.0]}, trials={"adam": [1.0, 0.5, 0.7, 0.8]})
    with pytest.raises(style.NothingToDraw, match="the audit has no findings"):
        audit(table_of(found.trials, found.runs, found.cells), found.cells)
