"""One of several trainings of a cell that can be executed together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optbench.training.record import Observer


@dataclass(frozen=True)
class Replica:
    """A training of a cell.

    Attributes:
        hyperparameters: The learning rate and other hyperparameters.
        seed: The training's seed.
        observer: Makes an observer that can stop the training early. It makes a new one for every execution, so that a
            training that is executed again starts with a fresh observer.
        until: Number of the evaluation at which it pauses; None to train it to its end.
        limit: What it may have cost by then, in thirds of an example gradient; None for its whole budget.
    """

    hyperparameters: dict[str, Any]
    seed: int
    observer: Callable[[], Observer] | None = None
    until: int | None = None
    limit: int | None = None
