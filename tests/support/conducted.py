"""Conducts an experiment that is as small as it can be, for its tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import sklearn.datasets

import optbench
from optbench.experiments.conduct import Outcome
from optbench.plots.style import FORMATS
from optbench.problem.datasets.known import DATASETS, DatasetInfo

#: How many of scikit-learn's 1,797 digits there are: 128 to train on, 32 to validate, 40 to test.
FEW_DIGITS = DatasetInfo(train=160, valid=32, test=40, classes=10, channels=1)


@contextmanager
def few_digits() -> Iterator[None]:
    """The data set `digits` is the first `FEW_DIGITS` of those that scikit-learn has.

    Data stay in memory by the directory that they come from: give a directory to which no other test refers.
    """
    found = sklearn.datasets.load_digits()
    count = FEW_DIGITS.train + FEW_DIGITS.test
    found.images, found.target = found.images[:count], found.target[:count]
    with patch("sklearn.datasets.load_digits", lambda: found), patch.dict(DATASETS, digits=FEW_DIGITS):
        yield


@contextmanager
def coarsely() -> Iterator[None]:
    """Figures are written as SVG only, and have few points of the ground below a path: both take a while."""
    with patch.dict(FORMATS, {"svg": FORMATS["svg"]}, clear=True), patch("optbench.training.landscape.POINTS", 9):
        yield


def conducted(text: str, folder: Path) -> Outcome:
    """The quick setting with smaller parameters and few digits, in this process; drawn coarsely."""
    with few_digits(), coarsely():
        outcome: Outcome = optbench.experiment(text, quick=True, results=folder, engine="serial", data_dir=folder)
    return outcome
