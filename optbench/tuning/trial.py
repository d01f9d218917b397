"""Trials of a tuning: what is known of a finished one, what is proposed, and which is best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optbench.optimizers.search_space import Space
from optbench.training.record import Observer, divergence_limit

#: A best value within this share of a range's width from an edge is flagged.
EDGE = 0.05


@dataclass(frozen=True)
class Trial:
    """A finished trial, as far as tuning needs it. Losses are validation losses, `loss` the mean that judges it
    (see `Training.judged`)."""

    number: int
    hyperparameters: dict[str, Any]
    status: str
    initial_loss: float
    loss: float
    thirds: int
    reports: dict[int, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The score that samplers see: always finite, a diverged trial worse than any other."""
        ceiling = divergence_limit(self.initial_loss)
        if not math.isfinite(ceiling):
            ceiling = float(np.finfo(np.float64).max)
        return min(self.loss, ceiling) if self.status == "ok" else ceiling


@dataclass(frozen=True)
class Proposal:
    """The next trial: its number, seed and hyperparameters, and what makes an observer that may stop it early."""

    number: int
    seed: int
    hyperparameters: dict[str, Any]
    observer: Callable[[], Observer] | None


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the lowest validation loss, as trials are judged; the earlier one of equals."""
    finished = [trial for trial in trials if trial.status == "ok" and math.isfinite(trial.loss)]
    return min(finished, key=lambda trial: (trial.loss, trial.number), default=None)


def edge_of(space: Space, trial: Trial | None, name: str = "lr") -> str:
    """`low` or `high` where the best value lies within 5 % of an edge of its range, or outside."""
    if trial is None or name not in space or name not in trial.hyperparameters:
        return ""
    position = space[name].position(trial.hyperparameters[name])
    return "low" if position < EDGE else "high" if position > 1 - EDGE else ""
