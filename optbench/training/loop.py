"""The training loop: steps until the budget is spent, and evaluations at fixed costs, for one or many replicas."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optbench.budget import THIRDS, Ledger
from optbench.machine.device import make_deterministic, random_state, set_random_state, synchronize
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.averaging import Average
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
    #: The average of the weights that is evaluated; None if the weights themselves are.
    average: Average | None

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
        """Returns the size of optimizer state and averaged weights of one replica, in bytes; None if it is unknown."""


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
    course = Course(cell, problem, data, hyperparameters, seed, budget, test=test, observer=observer, stepper=stepper)
    course.advance(cell.evaluations)
    return course.record


class Course:
    """One training, which can be paused at evaluations and continued.

    Exceptions of the problem and the optimizer are recorded. The arguments are those of `train`, and `train_loss`:
    whether the loss on training examples is evaluated.
    """

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        data: ResidentData,
        hyperparameters: Mapping[str, Any],
        seed: int,
        budget: int,
        *,
        test: bool = False,
        train_loss: bool = True,
        observer: Observer | None = None,
        stepper: type[Stepper] = Stepper,
    ) -> None:
        make_deterministic(cell.threads)
        self.record, self.ledger = Training(dict(hyperparameters), seed), Ledger(budget)
        self._session: Session | None = None
        try:
            replica = stepper(cell, problem, data, self.record.hyperparameters, seed, self.ledger)
            self.record.constructed = describe_optimizer(replica.optimizer)
            records = [self.record]
            self._session = Session(cell, problem, data, replica, records, [observer], self.ledger, test, train_loss)
        except Exception as error:
            self.record.fail(error)

    def advance(self, until: int, limit: int | None = None) -> None:
        """Trains until an evaluation is reached; the record is complete if that is the last one.

        Args:
            until: Number of the evaluation.
            limit: What the training may have cost then, in thirds of an example gradient; by default its budget.
        """
        session = self._session
        if session is None or self.record.status != "ok":
            return
        make_deterministic(session.cell.threads)  # other code may have run during a pause
        self.ledger.limit = THIRDS * self.ledger.budget if limit is None else limit
        try:
            session.advance(until)
            if until >= session.cell.evaluations or self.record.status != "ok":
                session.finish()
        except Exception as error:
            self.record.fail(error)
        self.record.charge(self.ledger)

    def held_bytes(self) -> int:
        """Returns about how many bytes a paused training holds: weights, gradients, copies and optimizer state."""
        if self._session is None:
            return 0
        replicas = self._session.replicas
        return 3 * 8 * replicas.trainable_parameters() + (replicas.state_bytes() or 0)


class Session:
    """A training of one or several replicas, each with its own record, which can be paused at evaluations.

    All replicas share a ledger, since their steps cost the same. A pause changes nothing: a training that was paused
    has the same bits as one that was not.
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
        train_loss: bool = True,
    ) -> None:
        self.cell, self.data, self.test, self.ledger, self.train_loss = cell, data, test, ledger, train_loss
        self.replicas, self.records, self.observers = replicas, records, observers
        self.traced = test and problem.plane is not None
        self._positions: list[list[list[float]]] = []
        #: Number of the latest evaluation, -1 before the first one, and the states of random generators at a pause.
        self._index = -1
        self._random = random_state(cell.device)

    @property
    def active(self) -> list[int]:
        """Indices of the replicas that have neither diverged nor been stopped."""
        return [place for place, record in enumerate(self.records) if record.status == "ok"]

    def run(self) -> None:
        """Trains until the budget is spent or no replica is active."""
        self.advance(self.cell.evaluations)
        self.finish()

    def advance(self, until: int) -> None:
        """Trains until an evaluation is reached, the budget or the ledger's limit is spent, or no replica is active.

        Args:
            until: Number of the evaluation.
        """
        ledger, replicas, size = self.ledger, self.replicas, self.cell.batch_size
        evaluations, budget_thirds = self.cell.evaluations, THIRDS * ledger.budget
        set_random_state(self._random, self.cell.device)
        if self._index < 0:
            self._index = 0
            if self.traced:
                self._positions.append(replicas.positions())
            self._evaluate(0)
        affordable = ledger.affords_gradient(size)
        while affordable and self.active and self._index < until:
            due = (self._index + 1) * budget_thirds
            synchronize(self.cell.device)
            started = time.perf_counter()
            undone = False
            while affordable and ledger.thirds * evaluations < due:
                undone = not (affordable := replicas.step())
                if affordable:
                    if self.traced:
                        self._positions.append(replicas.positions())
                    affordable = ledger.affords_gradient(size)
            synchronize(self.cell.device)
            seconds = (time.perf_counter() - started) / replicas.count
            for place in self.active:
                self.records[place].train_seconds += seconds
                self.records[place].steps = replicas.steps
                self.records[place].charge(ledger)
            # One step can pass several evaluation points, if it computes several gradients: evaluate once for them.
            reached = max(self._index, ledger.thirds * evaluations // budget_thirds)
            self._index = reached if affordable or reached >= until else until
            self._evaluate(self._index)
            if affordable:
                self._observe()
            elif (undone or reached < until) and ledger.limit < budget_thirds:
                self._stop(f"a step needs more than the share of the budget up to evaluation {until}")
        self._random = random_state(self.cell.device)

    def finish(self) -> None:
        """Completes the records, and evaluates the test split."""
        replicas, ledger = self.replicas, self.ledger
        for place, record in enumerate(self.records):
            record.optimizer_state_bytes = replicas.state_bytes() if record.steps else 0
            record.trajectory = [tuple(step[place]) for step in self._positions[: record.steps + 1]]
            record.note_standstill(ledger.budget)
            if record.status == "ok" and not record.error:
                record.error = replicas.remark or (replicas.average.remark if replicas.average else "")
        if self.test and self.active:
            self._test()

    def _evaluate(self, index: int) -> None:
        replicas, started = self.replicas, time.perf_counter()
        train: Sequence[Evaluation | None] = [None] * replicas.count
        if self.train_loss:
            train, valid = replicas.evaluate(self.data.train_sample, self.data.valid)
        else:
            [valid] = replicas.evaluate(self.data.valid)
        finite, weights = replicas.finite(), replicas.trainable_parameters()
        seconds = (time.perf_counter() - started) / replicas.count
        for place in self.active:
            record = self.records[place]
            record.add_point(
                index, replicas.steps, self.ledger.cost, train[place], valid[place], finite[place], weights
            )
            record.eval_seconds += seconds

    def _stop(self, reason: str) -> None:
        """Ends all trainings. A step that did not fit was undone, so they can't be continued with the same bits."""
        for place in self.active:
            self.records[place].status, self.records[place].error = "skipped", reason

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
