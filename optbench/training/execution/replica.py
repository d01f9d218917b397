"""One of several trainings of a cell that may be executed together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optbench.training.record import Observer


@dataclass(frozen=True)
class Replica:
    """What tells a training from the others of its cell, and what makes an observer that may stop it early.

    A training that is executed again, one by one after all at once has failed, gets an observer that has
    seen nothing.
    """

    hyperparameters: dict[str, Any]
    seed: int
    observer: Callable[[], Observer] | None = None
