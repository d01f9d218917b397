"""How fast a problem trains and is evaluated, measured for the time estimates of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Speed:
    """The speed of a problem at one batch size, on one worker, in trainings that run one after another.

    Attributes:
        seconds_per_cost: Seconds per example gradient.
        evaluations: Seconds of all evaluations of one training, without that of the test split.
        test: Seconds of the evaluation of the test split.
    """

    seconds_per_cost: float
    evaluations: float
    test: float


#: By problem label, batch size and device.
Speeds = Mapping[tuple[str, int, str], Speed]
