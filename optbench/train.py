"""One training: steps until the budget is spent, evaluations at points fixed in cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from optbench.budget import THIRDS, Ledger
from optbench.construct import constructed_hyperparameters, state_bytes
from optbench.device import synchronize
from optbench.evaluate import evaluate, parameters_finite, trainable_parameters
from optbench.matrix import Cell
from optbench.problem import Problem
from optbench.resident import ResidentData
from optbench.stepper import Stepper
from optbench.training import Observer, Training


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
    stepper: type[Stepper] = Stepper,
) -> Training:
    """Trains once and returns the record, also of a training that diverged, ran out of memory or raised.

    `budget` is in example gradients and never overspent. With `test`, the test set is evaluated once,
    after the last step. `observer` may stop the training early (a pruner does). `stepper` is
    what executes the steps.
    """
    record = Training(dict(hyperparameters), seed)
    ledger = Ledger(budget)
    try:
        _Session(cell, problem, data, record, ledger, test, stepper).run(observer)
    except Exception as error:
        record.fail(error)
    record.cost, record.forwards, record.backwards = ledger.cost, ledger.forwards, ledger.backwards
    return record


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
        stepper: type[Stepper],
    ) -> None:
        self.cell, self.problem, self.data = cell, problem, data
        self.record, self.ledger, self.test = record, ledger, test
        self.stepper = stepper(cell, problem, data, record.hyperparameters, record.seed, ledger)
        record.constructed = constructed_hyperparameters(self.stepper.optimizer)
        self.trace = test and problem.plane is not None

    def run(self, observer: Observer | None) -> None:
        record, ledger, stepper = self.record, self.ledger, self.stepper
        evaluations, budget_thirds = self.cell.evaluations, THIRDS * ledger.budget
        self._evaluate(0)
        self._trace()
        going, index = record.status == "ok", 0
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
            if record.status != "ok":
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
        model, found = self.stepper.model, (train_found, valid_found)
        facts = parameters_finite(model), trainable_parameters(model)
        self.record.add_point(index, self.stepper.steps, self.ledger.cost, *found, *facts)
        self.record.eval_seconds += time.perf_counter() - started

    def _trace(self) -> None:
        if self.trace:
            flat = [p.detach().flatten() for p in self.stepper.model.parameters()]
            self.record.trajectory.append(tuple(torch.cat(flat).tolist()))
