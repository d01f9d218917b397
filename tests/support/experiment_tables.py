"""What tests of experiments on networks make up their tables with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optbench.experiments.verdict import Measurement

SEEDS = range(4)


def verdicts(measurements: Sequence[Measurement]) -> list[str]:
    """The verdict of each finding."""
    return [measurement.verdict for measurement in measurements]


_random = np.random.default_rng(2)


def begin() -> None:
    """The same factors in each test, whatever ran before it: of equal optimizers 1 of 20 samples says otherwise."""
    global _random
    _random = np.random.default_rng(2)


def noise() -> float:
    """A factor near 1, as seeds differ."""
    return 1 + 0.01 * float(_random.normal())
