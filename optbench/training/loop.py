"""The training loop: steps until the budget is spent, and evaluations at fixed costs, for one or many replicas."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optbench.budget import THIRDS, Ledger
from optbench.machine.device import make_deterministic, synchronize
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.construct import describe_optimizer
from optbench.training.device_data import ResidentData, Split
from optbench.training.evaluation import Evaluation
from optbench.training.record import Observer, Training
from optbench.training.stepper import Stepper


class Replicas(Protocol):
    """The models under training: one (`Stepper`), or several that are stepped together (`Population`)."""

    #: Number of replicas.
    count: int
    #: Number of steps taken.
    steps: int
    #: What a reader has to know of trainings that succeeded, or an empty text.
    remark: str

    def step(self) -> bool:
        """Takes one step and charges it to the ledger. Returns False if the budget ran out during the step."""

    def evaluate(self, *splits: Split) -> list[list[Evaluation]]:
        """Returns the evaluations of all replicas, for each split."""

    def finite(self) -> list[bool]:
        """Returns for each replica whether all its parameters are finite."""

    def positions(self) -> list[list[float]]:
        """Returns all parameters of each replica as a flat list."""

    def trainable_parameters(self) -> int:
        """Returns the number of weights of one replica that are currently trained."""

    def state_bytes(self) -> int | None:
        """Returns the size in bytes of what the optimizer holds for one replica; None if it can't be measured."""


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
    """Trains a model once and returns the record, also if the training diverges or raises an exception.

    Args:
        cell: The cell: optimizer, device, batch size, schedule.
        problem: The problem of the cell.
        data: Its data on the device.
        hyperparameters: The learning rate and other hyperparameters.
        seed: Determines initial weights, order of the examples, augmentation and dropout.
        budget: Budget in example gradients, which is never exceeded.
        test: Whether the test split is evaluated once, after the last step.
        observer: Receives the record after each evaluation and can end the training, as a pruner does.
        stepper: The class that executes the steps.
    """
    make_deterministic(cell.threads)
    record = Training(dict(hyperparameters), seed)
    ledger = Ledger(budget)
    try:
        replica = stepper(cell, problem, data, record.hyperparameters, seed, ledger)
        record.constructed = describe_optimizer(replica.optimizer)
        Session(cell, problem, data, replica, [record], [observer], ledger, test).run()
    except Exception as error:
        record.fail(error)
    record.charge(ledger)
    return record


class Session:
    """A running training of one or several replicas, each with its own record.

    All replicas share a ledger, since their steps cost the same.
    """

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        data: ResidentData,
        replicas: Replicas,
        records: Sequence[Training],
        observers: Sequence[Observer | None],
        ledger: Ledger,
        test: bool,
    ) -> None:
        self.cell, self.data, self.test, self.ledger = cell, data, test, ledger
        self.replicas, self.records, self.observers = replicas, records, observers
        self.traced = test and problem.plane is not None

    @property
    def active(self) -> list[int]:
        """Indices of the replicas that have neither diverged nor been stopped."""
        return [place for place, record in enumerate(self.records) if record.status == "ok"]

    def run(self) -> None:
        """Trains until the budget is spent or no replica is active."""
        ledger, replicas, size = self.ledger, self.replicas, self.cell.batch_size
        evaluations, budget_thirds = self.cell.evaluations, THIRDS * ledger.budget
        positions = [replicas.positions()] if self.traced else []
        self._evaluate(0)
        index, affordable = 0, ledger.affords_gradient(size)
        while affordable and self.active:
            due = (index + 1) * budget_thirds
            synchronize(self.cell.device)
            started = time.perf_counter()
            while affordable and ledger.thirds * evaluations < due:
                if affordable := replicas.step():
                    if self.traced:
                        positions.append(replicas.positions())
                    affordable = ledger.affords_gradient(size)
            synchronize(self.cell.device)
            seconds = (time.perf_counter() - started) / replicas.count
            for place in self.active:
                self.records[place].train_seconds += seconds
                self.records[place].steps = replicas.steps
                self.records[place].charge(ledger)
            # One step can pass several evaluation points, if it computes several gradients: evaluate once for them.
            index = max(index, ledger.thirds * evaluations // budget_thirds)
            self._evaluate(index if affordable else evaluations)
            if affordable:
                self._observe()
        for place, record in enumerate(self.records):
            record.optimizer_state_bytes = replicas.state_bytes() if record.steps else 0
            record.trajectory = [tuple(step[place]) for step in positions[: record.steps + 1]]
            record.note_standstill(ledger.budget)
            if record.status == "ok" and not record.error:
                record.error = replicas.remark
        if self.test and self.active:
            self._test()

    def _evaluate(self, index: int) -> None:
        replicas, started = self.replicas, time.perf_counter()
        train, valid = replicas.evaluate(self.data.train_sample, self.data.valid)
        finite, weights = replicas.finite(), replicas.trainable_parameters()
        seconds = (time.perf_counter() - started) / replicas.count
        for place in self.active:
            record = self.records[place]
            record.add_point(
                index, replicas.steps, self.ledger.cost, train[place], valid[place], finite[place], weights
            )
            record.eval_seconds += seconds

    def _observe(self) -> None:
        for place in self.active:
            observer, record = self.observers[place], self.records[place]
            if reason := observer(record) if observer else "":
                record.status, record.error = "skipped", reason

    def _test(self) -> None:
        started = time.perf_counter()
        [evaluations] = self.replicas.evaluate(self.data.test)
        seconds = (time.perf_counter() - started) / self.replicas.count
        for place in self.active:
            record = self.records[place]
            record.test_loss, record.test_metric = evaluations[place].loss, evaluations[place].metric
            record.eval_seconds += seconds
