"""One of several trainings of a cell that may be executed together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optbench.training import Observer


@dataclass(frozen=True)
class Replica:
    """What tells a training from the others of its cell, and who may stop it early."""

    hyperparameters: dict[str, Any]
    seed: int
    observer: Observer | None = None
