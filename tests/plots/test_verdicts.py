"""The fields of the verdict grid say what their rows say."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.metrics.verdicts import verdicts as table_of
from optbench.plots import style
from optbench.plots.verdicts import verdicts
from tests.support.studies import study


def test_every_row_is_a_field() -> None:
    rng = np.random.default_rng(1)
    good, bad = rng.uniform(0.1, 0.11, 9).tolist(), rng.uniform(0.5, 0.9, 9).tolist()
    near = [value * (1 + 0.001 * rng.normal()) for value in bad]
    found = study({"adam": bad, "won": good, "lost": [5 * value for value in bad], "tied": near, "open": good[:3],
                   "failed": [None] * 9})  # fmt: skip
    table = table_of(found.runs, found.cells)
    figure, drawn = verdicts(table, found.cells)
    assert drawn is table
    ax = figure.axes[0]
    texts = {round(text.get_position()[1] - 0.5): text.get_text() for text in ax.texts if "\n" in text.get_text()}
    lines = {label.get_text(): index for index, label in enumerate(ax.get_yticklabels())}
    rows = table.set_index("optimizer")
    for name, line in lines.items():
        assert texts[line].split("\n")[0] == rows.loc[name, "verdict"] or rows.loc[name, "verdict"] == "inconclusive"
    assert texts[lines["lost"]] == "loss\n× 5"
    assert texts[lines["failed"]] == "loss\n9 failed"
    assert texts[lines["open"]].endswith(f"\n{rows.loc['open', 'more_seeds']} more seeds")
    assert next(iter(lines)) == "won"
    assert "3 to 9 paired seeds" in figure.texts[1].get_text()
    colors = {tuple(np.round(patch.get_facecolor()[:3], 3)) for patch in ax.patches}
    assert len(colors) == 4


def test_nothing_was_compared() -> None:
    alone = study({"adam": [1.0]})
    with pytest.raises(style.NothingToDraw, match="no two optimizers"):
        verdicts(table_of(alone.runs, alone.cells), alone.cells)
    apart = study({("a", 10, "adam"): [1.0], ("b", 10, "sgd"): [2.0]})
    figure, _ = verdicts(table_of(apart.runs, apart.cells), apart.cells)
    assert "no paired seeds" in figure.texts[1].get_text()
