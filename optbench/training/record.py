"""What one training did, and the rule by which it is seen to have diverged."""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from optbench.budget import Ledger
from optbench.errors import one_line
from optbench.training.evaluation import Evaluation

#: A loss this many times the initial one, at this many evaluations in a row, is divergence.
DIVERGED_FACTOR = 10.0
DIVERGED_EVALUATIONS = 3

#: Losses below this are small changes, whatever the first one is: a model that starts solved has not diverged at 1e-4.
DIVERGED_FLOOR = 1e-2

#: A trial is judged by its evaluations after this share of them: one alone is too noisy to choose by.
JUDGED_AFTER = 0.75


@dataclass(frozen=True)
class Point:
    """One evaluation: where it was, and what it found. `index` counts the grid fixed in cost."""

    index: int
    step: int
    cost: float
    train_loss: float
    valid_loss: float
    valid_metric: float
    #: Weights that were trained up to here, those that are frozen meanwhile not counted.
    trainable_parameters: int


@dataclass
class Training:
    """What one training did. Costs in example gradients, times in seconds of this process."""

    hyperparameters: dict[str, Any]
    seed: int
    status: str = "ok"
    error: str = ""
    traceback: str = ""
    constructed: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    cost: float = 0.0
    forwards: int = 0
    backwards: int = 0
    points: list[Point] = field(default_factory=list)
    test_loss: float = math.nan
    test_metric: float = math.nan
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    optimizer_state_bytes: int = 0
    #: Parameters after each step, the start first: of tests on problems with a `plane`.
    trajectory: list[tuple[float, ...]] = field(default_factory=list)
    #: Evaluations in a row at which the loss was far above the initial one.
    high_losses: int = 0

    def add_point(
        self,
        index: int,
        step: int,
        cost: float,
        train: Evaluation,
        valid: Evaluation,
        parameters_finite: bool,
        trainable_parameters: int,
    ) -> None:
        """Notes an evaluation down, and whether it shows that the training has diverged."""
        self.points.append(Point(index, step, cost, train.loss, valid.loss, valid.metric, trainable_parameters))
        initial = self.points[0].valid_loss
        if not (math.isfinite(train.loss) and math.isfinite(valid.loss)):
            self.status, self.error = "diverged", f"loss not finite at step {step}"
        elif not parameters_finite:
            self.status, self.error = "diverged", f"parameters not finite at step {step}"
        else:
            self.high_losses = self.high_losses + 1 if valid.loss > divergence_limit(initial) else 0
            if self.high_losses >= DIVERGED_EVALUATIONS:
                self.status = "diverged"
                self.error = f"loss over {DIVERGED_FACTOR:g} times the initial one up to step {step}"

    def judged(self, evaluations: int) -> tuple[float, float]:
        """Mean validation loss and metric over the last quarter of the evaluations, by which trials are compared.

        Of a training that ended before that quarter, those at its end; NaN without any evaluation.
        """
        late = [p for p in self.points if p.index > JUDGED_AFTER * evaluations] or self.points[-1:]
        if not late:
            return math.nan, math.nan
        return statistics.fmean(p.valid_loss for p in late), statistics.fmean(p.valid_metric for p in late)

    def note_standstill(self, budget: int) -> None:
        """Says so where a training that succeeded has left the model as it was."""
        if self.status != "ok" or len(self.points) < 2:
            return
        first = self.points[0]
        if not self.steps:
            self.error = f"no step was taken: the first one needs more than the budget of {budget:,} example gradients"
        elif all(
            (point.train_loss, point.valid_loss) == (first.train_loss, first.valid_loss) for point in self.points[1:]
        ):
            self.error = f"the model never changed in {self.steps:,} steps"

    def charge(self, ledger: Ledger) -> None:
        """Notes what has been spent."""
        self.cost, self.forwards, self.backwards = ledger.cost, ledger.forwards, ledger.backwards

    def fail(self, error: BaseException) -> None:
        """Notes down what ended the training: out of memory, or any other exception."""
        self.status, self.error = "oom" if is_out_of_memory(error) else "error", one_line(error)
        self.traceback = "".join(traceback.format_exception(error))


def divergence_limit(initial: float) -> float:
    """The loss above which a training counts as diverging, from its first one."""
    return initial + (DIVERGED_FACTOR - 1) * max(abs(initial), DIVERGED_FLOOR)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory did not suffice, of the host or of a device."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


#: Called with the training so far after each evaluation; a reason to stop, or an empty text.
Observer = Callable[[Training], str]
