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
        until: Number of its last evaluation. A trial with the status `paused` can be continued from there.
    """

    number: int
    hyperparameters: dict[str, Any]
    status: str
    initial_loss: float
    loss: float
    thirds: int
    reports: dict[int, float] = field(default_factory=dict)
    until: int = 0

    @property
    def value(self) -> float:
        """The score for samplers: the loss, limited to 10 times the initial loss, which diverged trials get as well."""
        ceiling = divergence_limit(self.initial_loss)
        if not math.isfinite(ceiling):
            ceiling = float(np.finfo(np.float64).max)
        return min(self.loss, ceiling) if self.status in ("ok", "paused") else ceiling


@dataclass(frozen=True)
class Proposal:
    """A proposed trial, or a proposed part of it.

    Attributes:
        number: Number of the trial.
        seed: Its seed.
        hyperparameters: Its hyperparameters.
        observer: A factory of an observer (a pruner), or None.
        until: Number of the evaluation at which it pauses; None to train it to its end.
        limit: What it may have cost by then, in thirds of an example gradient; None for its whole budget.
    """

    number: int
    seed: int
    hyperparameters: dict[str, Any]
    observer: Callable[[], Observer] | None
    until: int | None = None
    limit: int | None = None


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Returns the complete trial with the lowest loss, and the earlier one of equals; None if no loss is finite.

    If points were trained on several seeds, those with the most seeds are compared by the mean of their losses, and the
    first trial of the best one is returned. If no trial is complete, the paused trials that were trained longest are
    compared.
    """
    known = [trial for trial in trials if trial.status in ("ok", "paused") and math.isfinite(trial.loss)]
    complete = [trial for trial in known if trial.status == "ok"]
    if not complete:
        longest = max((trial.until for trial in known), default=0)
        return min((t for t in known if t.until == longest), key=lambda trial: (trial.loss, trial.number), default=None)
    points = by_point([trial for trial in trials if trial.status in ("ok", "diverged")])
    scores = {point[0].number: (-len(point), mean_loss(point)) for point in points}
    finite = [trial for trial in complete if math.isfinite(scores.get(trial.number, (0, math.inf))[1])]
    return min(finite or complete, key=lambda trial: (*scores.get(trial.number, (0, trial.loss)), trial.number))


def by_point(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Returns the trials of each point of the search space, which differ in their seeds, by their numbers.

    Args:
        trials: Trials in any order.
    """
    points: dict[str, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        points.setdefault(repr(sorted(trial.hyperparameters.items())), []).append(trial)
    return list(points.values())


def mean_loss(trials: Sequence[Trial]) -> float:
    """Returns the mean loss of trials of one point on several seeds; infinite if one of them has no loss.

    Args:
        trials: The trials.
    """
    losses = [trial.loss if trial.status == "ok" and math.isfinite(trial.loss) else math.inf for trial in trials]
    return sum(losses) / len(losses)


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
