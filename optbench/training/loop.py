"""The training loop: steps until the budget is spent, evaluations at points fixed in cost; for one replica or many."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optbench.budget import THIRDS, Ledger
from optbench.machine.device import synchronize
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.construct import constructed_hyperparameters
from optbench.training.device_data import ResidentData, Split
from optbench.training.evaluation import Evaluation
from optbench.training.record import Observer, Training
from optbench.training.stepper import Stepper


class Replicas(Protocol):
    """What is trained: one model (`Stepper`), or several that take their steps together (`Population`)."""

    #: How many they are, and how many steps each has taken.
    count: int
    steps: int
    #: What a reader has to know of trainings that succeeded, or an empty text.
    remark: str

    def step(self) -> bool:
        """Takes one step, charged to the ledger; False where the budget ended inside it."""

    def evaluate(self, *splits: Split) -> list[list[Evaluation]]:
        """For each split the evaluations of all replicas."""

    def finite(self) -> list[bool]:
        """Whether all parameters of each replica are finite."""

    def positions(self) -> list[list[float]]:
        """All parameters of each replica, as flat lists."""

    def trainable_parameters(self) -> int:
        """Number of weights of one replica that are trained at present."""

    def state_bytes(self) -> int:
        """Bytes that the optimizer keeps for one replica."""


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

    Args:
        cell: What is trained, on which device, in batches of which size.
        problem: The problem of the cell.
        data: Its data on the device.
        hyperparameters: The learning rate and whatever else the cell tunes.
        seed: Decides initial weights, order of the examples, augmentation and dropout.
        budget: Example gradients that may be spent; never exceeded.
        test: Evaluates the test split once, after the last step.
        observer: Sees the record after each evaluation, and may end the training (a pruner does).
        stepper: What executes the steps.
    """
    record = Training(dict(hyperparameters), seed)
    ledger = Ledger(budget)
    try:
        replica = stepper(cell, problem, data, record.hyperparameters, seed, ledger)
        record.constructed = constructed_hyperparameters(replica.optimizer)
        Session(cell, problem, data, replica, [record], [observer], ledger, test).run()
    except Exception as error:
        record.fail(error)
    record.charge(ledger)
    return record


class Session:
    """Replicas while they train, each with its record. They share a ledger: all are charged alike."""

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
        """The places of the replicas that have neither diverged nor been stopped."""
        return [place for place, record in enumerate(self.records) if record.status == "ok"]

    def run(self) -> None:
        """Trains until the budget is spent, or no replica is active any more."""
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
            # A step of several evaluations may pass more than one point: they share its evaluation.
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
