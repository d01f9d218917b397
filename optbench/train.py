"""One training: steps until the budget is spent, evaluations at points fixed in cost."""

from __future__ import annotations

import copy
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from optbench.batches import BatchStream
from optbench.budget import THIRDS, BudgetExhausted, Ledger
from optbench.construct import constructed_hyperparameters, make_model, make_optimizer, state_bytes
from optbench.device import synchronize
from optbench.errors import one_line
from optbench.evaluate import evaluate, parameters_finite
from optbench.matrix import Cell
from optbench.problem import Batch, Problem
from optbench.resident import ResidentData
from optbench.schedule import schedule
from optbench.seeds import derive

#: A loss this many times the initial one, at this many evaluations in a row, is divergence.
DIVERGED_FACTOR = 10.0
DIVERGED_EVALUATIONS = 3


@dataclass(frozen=True)
class Point:
    """One evaluation: where it was, and what it found. `index` counts the grid fixed in cost."""

    index: int
    step: int
    cost: float
    train_loss: float
    valid_loss: float
    valid_metric: float


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


#: Called with the training so far after each evaluation; a reason to stop, or an empty text.
Observer = Callable[[Training], str]


def train(
    cell: Cell,
    problem: Problem,
    data: ResidentData,
    hyperparameters: Mapping[str, Any],
    seed: int,
    budget: int,
    *,
    test: bool = False,
    observer: Observer | None = None,
) -> Training:
    """Trains once and returns the record, also of a training that diverged, ran out of memory or raised.

    `budget` is in example gradients and never overspent. With `test`, the test set is evaluated once,
    after the last step. `observer` may stop the training early (a pruner does).
    """
    record = Training(dict(hyperparameters), seed)
    ledger = Ledger(budget)
    try:
        _Session(cell, problem, data, record, ledger, test).run(observer)
    except (MemoryError, torch.OutOfMemoryError) as error:
        _fail(record, "oom", error)
    except RuntimeError as error:
        _fail(record, "oom" if "can't allocate memory" in str(error) else "error", error)
    except Exception as error:
        _fail(record, "error", error)
    record.cost, record.forwards, record.backwards = ledger.cost, ledger.forwards, ledger.backwards
    return record


def _fail(record: Training, status: str, error: BaseException) -> None:
    record.status, record.error = status, one_line(error)
    record.traceback = "".join(traceback.format_exception(error))


class _Session:
    """The state of one training while it runs."""

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        data: ResidentData,
        record: Training,
        ledger: Ledger,
        test: bool,
    ) -> None:
        self.cell, self.problem, self.data = cell, problem, data
        self.record, self.ledger, self.test = record, ledger, test
        self.stepper = Stepper(cell, problem, data, record.hyperparameters, record.seed, ledger)
        record.constructed = constructed_hyperparameters(self.stepper.optimizer)
        self.trace = test and problem.plane is not None
        self.high_losses = 0

    def run(self, observer: Observer | None) -> None:
        record, ledger, stepper = self.record, self.ledger, self.stepper
        evaluations, budget_thirds = self.cell.evaluations, THIRDS * ledger.budget
        self._evaluate(0)
        self._trace()
        going, index = not self._diverged(), 0
        while going and ledger.affords_gradient(self.cell.batch_size):
            due = (index + 1) * budget_thirds
            synchronize(self.cell.device)
            started = time.perf_counter()
            while going and ledger.thirds * evaluations < due:
                if going := stepper.step():
                    self._trace()
                    going = ledger.affords_gradient(self.cell.batch_size)
            synchronize(self.cell.device)
            record.train_seconds += time.perf_counter() - started
            record.steps = stepper.steps
            # A step of several evaluations may pass more than one point: they share its evaluation.
            index = max(index, ledger.thirds * evaluations // budget_thirds)
            self._evaluate(index if going else evaluations)
            if self._diverged():
                record.status = "diverged"
                break
            stop = observer(record) if observer and going else ""
            if stop:
                record.status, record.error = "skipped", stop
                break
        record.optimizer_state_bytes = state_bytes(stepper.optimizer)
        if self.test and record.status == "ok":
            started = time.perf_counter()
            with stepper.evaluating():
                found = evaluate(self.problem, stepper.model, self.data.test)
            record.test_loss, record.test_metric = found.loss, found.metric
            record.eval_seconds += time.perf_counter() - started

    def _evaluate(self, index: int) -> None:
        started = time.perf_counter()
        with self.stepper.evaluating():
            train_found = evaluate(self.problem, self.stepper.model, self.data.train_sample)
            valid_found = evaluate(self.problem, self.stepper.model, self.data.valid)
        self.record.points.append(
            Point(
                index,
                self.stepper.steps,
                self.ledger.cost,
                train_found.loss,
                valid_found.loss,
                valid_found.metric,
            )
        )
        self.record.eval_seconds += time.perf_counter() - started

    def _diverged(self) -> bool:
        """Whether the last evaluation ends the training; says why in the record."""
        last, initial = self.record.points[-1], self.record.points[0].valid_loss
        if not (math.isfinite(last.train_loss) and math.isfinite(last.valid_loss)):
            self.record.error = f"loss not finite at step {last.step}"
        elif not parameters_finite(self.stepper.model):
            self.record.error = f"parameters not finite at step {last.step}"
        else:
            limit = initial + (DIVERGED_FACTOR - 1) * abs(initial)
            self.high_losses = self.high_losses + 1 if last.valid_loss > limit else 0
            if self.high_losses < DIVERGED_EVALUATIONS:
                return False
            self.record.error = f"loss over {DIVERGED_FACTOR:g} times the initial one up to step {last.step}"
        self.record.status = "diverged"
        return True

    def _trace(self) -> None:
        if self.trace:
            flat = [p.detach().flatten() for p in self.stepper.model.parameters()]
            self.record.trajectory.append(tuple(torch.cat(flat).tolist()))


class Stepper:
    """A model, its optimizer and its batches; each `step` is one optimizer step, charged to a ledger."""

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        data: ResidentData,
        hyperparameters: Mapping[str, Any],
        seed: int,
        ledger: Ledger,
    ) -> None:
        self.problem, self.data, self.ledger = problem, data, ledger
        self.batch_size = cell.batch_size
        self.model = make_model(problem, cell, seed)
        self.optimizer = make_optimizer(cell.optimizer, self.model, hyperparameters)
        order = torch.Generator().manual_seed(derive(seed, "data order"))
        self.batches = BatchStream(len(data.train), cell.batch_size, order, cell.device)
        self.augmentation = torch.Generator(cell.device).manual_seed(derive(seed, "augmentation"))
        # Whatever the model draws while it trains (dropout) comes from torch's global generator.
        self._training_seed = derive(seed, "training") >> 1
        torch.manual_seed(self._training_seed)
        self.steps = 0
        self._schedule = None if cell.schedule == "constant" else schedule(cell.schedule)
        self._rates = [group["lr"] for group in self.optimizer.param_groups if "lr" in group]
        self._needs_closure = cell.optimizer.needs_closure
        self._set_training(True)

    def step(self) -> bool:
        """One step on the next batch; False where the budget ended inside it, which undoes the step."""
        batch = self.problem.augment_batch(self.data.train.batch(self.batches.next()), self.augmentation)
        if self._schedule is not None:
            self._set_rates()
        if self._needs_closure:
            return self._closure_step(batch)
        self.ledger.charge_gradient(self.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        self.problem.loss(self.model, batch).backward()
        self.optimizer.step()
        self.steps += 1
        return True

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A context in which model and optimizer are in evaluation mode."""
        self._set_training(False)
        yield
        self._set_training(True)

    def _closure_step(self, batch: Batch) -> bool:
        before, charged = copy.deepcopy(self.model.state_dict()), self.ledger.thirds
        random_seed = self._training_seed + self.steps

        def closure() -> Tensor:
            # Every evaluation within a step sees the same dropout masks, so the line search
            # works on one function.
            torch.manual_seed(random_seed)
            if not torch.is_grad_enabled():
                self.ledger.charge_forward(self.batch_size)
                return self.problem.loss(self.model, batch)
            self.ledger.charge_gradient(self.batch_size)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.problem.loss(self.model, batch)
            loss.backward()
            return loss

        try:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        except BudgetExhausted:
            # The line search was left at a trial point, which is no step of the optimizer's.
            self.model.load_state_dict(before)
            return False
        if self.ledger.thirds == charged:
            raise RuntimeError("the optimizer's step() did not call its closure")
        self.steps += 1
        return True

    def _set_rates(self) -> None:
        assert self._schedule is not None
        progress = (self.ledger.cost + self.batch_size / 2) / self.ledger.budget
        factor = self._schedule(min(progress, 1.0))
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=False):
            group["lr"] = rate * factor

    def _set_training(self, training: bool) -> None:
        self.model.train(training)
        # Schedule-free optimizers keep the weights to evaluate apart from those to train.
        switch = getattr(self.optimizer, "train" if training else "eval", None)
        if switch is not None:
            switch()
