"""Trials of a tuning: finished trials, proposals, and the choice of the best trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optbench.optimizers.search_space import Space
from optbench.training.record import Observer, divergence_limit

#: A best value is at an edge if its distance from it is less than this fraction of the range's width.
EDGE = 0.05


@dataclass(frozen=True)
class Trial:
    """A finished trial, with the fields that tuning needs.

    Attributes:
        number: Number of the trial, from 0.
        hyperparameters: Its hyperparameters.
        status: Its status, such as `ok` or `diverged`.
        initial_loss: Validation loss at the start.
        loss: Mean validation loss by which trials are compared (see `Training.late_means`).
        thirds: Cost in thirds of an example gradient.
        reports: Validation loss at each evaluation.
    """

    number: int
    hyperparameters: dict[str, Any]
    status: str
    initial_loss: float
    loss: float
    thirds: int
    reports: dict[int, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The score for samplers: the loss, limited to 10 times the initial loss, which diverged trials get as well."""
        ceiling = divergence_limit(self.initial_loss)
        if not math.isfinite(ceiling):
            ceiling = float(np.finfo(np.float64).max)
        return min(self.loss, ceiling) if self.status == "ok" else ceiling


@dataclass(frozen=True)
class Proposal:
    """A proposed trial: its number, seed and hyperparameters, and optionally a factory of an observer (a pruner)."""

    number: int
    seed: int
    hyperparameters: dict[str, Any]
    observer: Callable[[], Observer] | None


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Returns the trial with the lowest loss, and the earlier one of equals; None if no loss is finite."""
    finished = [trial for trial in trials if trial.status == "ok" and math.isfinite(trial.loss)]
    return min(finished, key=lambda trial: (trial.loss, trial.number), default=None)


def edge_of(space: Space, trial: Trial | None, name: str = "lr") -> str:
    """Returns `low` or `high` if a trial's value is within 5 % of an edge of its range, or outside; otherwise "".

    Args:
        space: The search space.
        trial: The best trial.
        name: The hyperparameter.
    """
    if trial is None or name not in space or name not in trial.hyperparameters:
        return ""
    position = space[name].position(trial.hyperparameters[name])
    return "low" if position < EDGE else "high" if position > 1 - EDGE else ""
