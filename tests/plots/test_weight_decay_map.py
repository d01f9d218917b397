"""The map of trials over learning rate and weight decay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.optimizers.search_space import Range, space_text
from optbench.plots.weight_decay_map import weight_decay_map
from optbench.results.stored import STOPPED
from tests.support.rows import cell_of, frame, trial_of

SPACE = {"lr": Range(1e-3, 1e1), "weight_decay": Range(1e-4, 1e0, zero=True)}
BOTH = cell_of("adamw_recipe", search=space_text(SPACE))
RATE = cell_of("adamw", search=space_text({"lr": SPACE["lr"]}))


def test_each_trial_is_at_its_values_and_ranked() -> None:
    rows = [
        trial_of(BOTH, 0, 0.1, 0.5),
        trial_of(BOTH, 1, 1.0, 0.3),
        trial_of(BOTH, 2, 0.01, 0.1, status=STOPPED, cost=25.0),
        trial_of(BOTH, 3, 0.01, 0.2, status=STOPPED, cost=50.0),
        trial_of(BOTH, 4, 10.0),
        trial_of(RATE, 0, 0.1, 0.4),
    ]
    decays = [0.0, 1e-3, 1e-2, 1.0, 1e-1, math.nan]
    trials = frame(rows, "trials").assign(hp_weight_decay=decays)
    drawn = weight_decay_map(trials, frame([BOTH, RATE], "cells"))
    assert drawn is not None
    figure, points = drawn
    assert len(figure.axes) == 1
    points = points.set_index("trial")
    assert list(points.index) == [0, 1, 2, 3, 4]
    # Complete trials come first, then those that came farther; a failed one has no rank.
    assert points["rank"].tolist()[:4] == pytest.approx([1 / 3, 0.0, 1.0, 2 / 3])
    assert math.isnan(points["rank"][4])
    assert points["x"].tolist() == pytest.approx([0.5, 0.75, 0.25, 0.25, 1.0])
    for name, values in SPACE.items():
        places = points["x" if name == "lr" else "y"]
        assert np.allclose([values.at(place) for place in places], points["lr" if name == "lr" else "decay"])
    best = figure.axes[0].lines[-1]
    assert best.get_marker() == "D"
    assert best.get_xdata()[0] == pytest.approx(0.75)


def test_cells_that_searched_the_rate_alone_have_no_map() -> None:
    assert weight_decay_map(frame([trial_of(RATE, 0, 0.1, 0.4)], "trials"), frame([RATE], "cells")) is None
