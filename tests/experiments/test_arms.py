"""Parameters of arms from labels, and dots of seeds with their mean."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from optbench.experiments.arms import dots, with_parameters


def test_parameters_come_from_labels_with_defaults() -> None:
    frame = pd.DataFrame({"problem": ["mnist_cnn[data=digits,dropout=0.5]", "mnist_cnn[norm=none]", "mnist_cnn"]})
    found = with_parameters(frame, dropout=0.0, norm="batch")
    assert list(found["dropout"]) == [0.5, 0.0, 0.0]
    assert list(found["norm"]) == ["batch", "none", "batch"]


def test_an_arm_with_a_failed_run_has_dots_and_no_mean() -> None:
    axes = Figure().subplots()
    dots(axes, [("failed", [0.1, math.nan, 0.3])])
    assert len(axes.lines) == 1
    dots(axes, [("complete", [0.1, 0.2, 0.3])])
    assert len(axes.lines) == 1 + 3  # dots, mean and interval
    assert math.isclose(axes.lines[2].get_ydata()[0], 0.2)
