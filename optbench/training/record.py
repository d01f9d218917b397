"""The record of one training, and the rule that detects divergence."""

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

#: A training has diverged if its loss exceeds this multiple of the initial loss at this many consecutive evaluations.
DIVERGED_FACTOR = 10.0
DIVERGED_EVALUATIONS = 3

#: Differences of losses below this value never count as divergence, so that a model that starts near zero can train.
DIVERGED_FLOOR = 1e-2

#: Trials are compared by the mean over their evaluations after this fraction, since a single one is too noisy.
SCORED_AFTER = 0.75


@dataclass(frozen=True)
class Point:
    """One evaluation during a training.

    Attributes:
        index: Number of the evaluation on the grid that is fixed in cost; 0 is the start.
        step: Number of steps taken.
        cost: Spent cost in example gradients.
        train_loss: Loss on a sample of the training examples; NaN in trials, which do not evaluate it.
        valid_loss: Loss on the validation split.
        valid_metric: Metric on the validation split.
    """

    index: int
    step: int
    cost: float
    train_loss: float
    valid_loss: float
    valid_metric: float
    #: Number of weights that were trained before this evaluation, without those that were frozen.
    trainable_parameters: int


@dataclass
class Training:
    """The record of one training. Costs are in example gradients, times in seconds of this process."""

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
    #: None if it can't be measured.
    optimizer_state_bytes: int | None = 0
    #: Parameters at the start and after each step, for final runs on problems with a `plane`.
    trajectory: list[tuple[float, ...]] = field(default_factory=list)
    #: Number of consecutive evaluations with a loss far above the initial one.
    high_losses: int = 0

    def add_point(
        self,
        index: int,
        step: int,
        cost: float,
        train: Evaluation | None,
        valid: Evaluation,
        parameters_finite: bool,
        trainable_parameters: int,
    ) -> None:
        """Records an evaluation, and sets the status if the training has diverged.

        Args:
            index: Number of the evaluation.
            step: Number of steps taken.
            cost: Spent cost in example gradients.
            train: Evaluation on training examples; None if there was none.
            valid: Evaluation on the validation split.
            parameters_finite: Whether all parameters are finite.
            trainable_parameters: Number of weights that are trained.
        """
        train_loss = math.nan if train is None else train.loss
        self.points.append(Point(index, step, cost, train_loss, valid.loss, valid.metric, trainable_parameters))
        initial = self.points[0].valid_loss
        if not (math.isfinite(valid.loss) and (train is None or math.isfinite(train.loss))):
            self.status, self.error = "diverged", f"loss not finite at step {step}"
        elif not parameters_finite:
            self.status, self.error = "diverged", f"parameters not finite at step {step}"
        else:
            self.high_losses = self.high_losses + 1 if valid.loss > divergence_limit(initial) else 0
            if self.high_losses >= DIVERGED_EVALUATIONS:
                self.status = "diverged"
                self.error = f"loss over {DIVERGED_FACTOR:g} times the initial one up to step {step}"

    def late_means(self, evaluations: int) -> tuple[float, float]:
        """Returns mean validation loss and metric over the last quarter of the evaluations, which compare trials.

        Args:
            evaluations: Number of evaluations of a complete training.

        Returns:
            The means; the last values if the training ended before the last quarter; NaN without an evaluation.
        """
        late = [p for p in self.points if p.index > SCORED_AFTER * evaluations] or self.points[-1:]
        if not late:
            return math.nan, math.nan
        return statistics.fmean(p.valid_loss for p in late), statistics.fmean(p.valid_metric for p in late)

    def note_standstill(self, budget: int) -> None:
        """Records it as a remark if a successful training took no step or never changed the model.

        Args:
            budget: The training's budget in example gradients.
        """
        if self.status != "ok" or len(self.points) < 2:
            return
        first = self.points[0]
        if not self.steps:
            self.error = f"no step was taken: the first one needs more than the budget of {budget:,} example gradients"
        elif all(_has_same_losses(point, first) for point in self.points[1:]):
            self.error = f"the model never changed in {self.steps:,} steps"

    def charge(self, ledger: Ledger) -> None:
        """Records the spent cost of a ledger."""
        self.cost, self.forwards, self.backwards = ledger.cost, ledger.forwards, ledger.backwards

    def fail(self, error: BaseException) -> None:
        """Records the exception that ended the training, as status `oom` or `error`."""
        self.status, self.error = "oom" if is_out_of_memory(error) else "error", one_line(error)
        self.traceback = "".join(traceback.format_exception(error))


def _has_same_losses(point: Point, other: Point) -> bool:
    known = not (math.isnan(point.train_loss) and math.isnan(other.train_loss))
    return point.valid_loss == other.valid_loss and (not known or point.train_loss == other.train_loss)


def divergence_limit(initial: float) -> float:
    """Returns the loss above which a training counts as diverging.

    Args:
        initial: The loss before the first step.
    """
    return initial + (DIVERGED_FACTOR - 1) * max(abs(initial), DIVERGED_FLOOR)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception reports that the memory of the host or of a device was exhausted."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


#: Called after each evaluation with the record so far; returns a reason to stop, or "" to continue.
Observer = Callable[[Training], str]
