"""Parameters of arms from labels, and lines that end where a seed does."""

from __future__ import annotations

import pandas as pd

from optbench.experiments.arms import with_parameters


def test_parameters_come_from_labels_with_defaults() -> None:
    frame = pd.DataFrame({"problem": ["mnist_cnn[data=digits,dropout=0.5]", "mnist_cnn[norm=none]", "mnist_cnn"]})
    found = with_parameters(frame, dropout=0.0, norm="batch")
    assert list(found["dropout"]) == [0.5, 0.0, 0.0]
    assert list(found["norm"]) == ["batch", "none", "batch"]
