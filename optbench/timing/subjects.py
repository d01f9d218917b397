"""The subjects of timings: single steps, gradients and whole trainings of optimizers and problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from optbench.budget import UNLIMITED
from optbench.conformance.subject import Trainable, are_equal, clone_parameters, make_trainable
from optbench.machine.device import make_deterministic, synchronize
from optbench.problem.data import DataSource, default_data_dir
from optbench.timing.counters import counters, operations
from optbench.training.excerpt import WARMUP_STEPS, begin_excerpt, most_steps
from optbench.training.loop import train
from optbench.training.stepper import Stepper

#: Possible numbers of calls in a round, and the operations of torch that a round may have. The number of calls is found
#: without a clock, so that it is the same each time. Most periods of rare expensive calls divide it.
_CALLS = (120, 60, 24, 12, 6, 4, 2, 1)
_OPERATIONS = 60_000


class Rounds:
    """One call of the work, of which every round makes the same ones: each round starts afresh.

    So rounds differ only because of the machine, although calls may differ from each other.

    Args:
        start: Starts a round, without being timed, and returns the work.
        calls: Number of calls in a round.
    """

    def __init__(self, start: Callable[[], Callable[[], Any]], calls: int) -> None:
        self.calls = calls
        self._start, self._made = start, 0
        self._work: Callable[[], Any] = lambda: None
        self._started: list[Callable[[], Any]] = []

    def prepare(self, rounds: int) -> None:
        """Starts rounds beforehand, so that their starts take no time when they are timed."""
        self._started = [self._start() for _ in range(rounds)]

    def __call__(self) -> None:
        """Makes the next call."""
        if self._made % self.calls == 0:
            self._work = self._started.pop(0) if self._started else self._start()
        self._made += 1
        self._work()


@dataclass(frozen=True)
class Measurable:
    """Work to be timed.

    `work` is one call. `verify` raises AssertionError if the work had no effect. `counters` are exact.
    """

    work: Rounds
    counters: dict[str, int]
    verify: Callable[[], None]

    @property
    def calls(self) -> int:
        """Number of calls in a round."""
        return self.work.calls


def setting(
    problem: str,
    optimizer: str = "sgd",
    batch_size: int | None = None,
    device: str = "cpu",
    source: DataSource | None = None,
    tables: Mapping[str, Any] | None = None,
) -> Trainable:
    """The cell of an optimizer on a problem, by default with the problem's smallest default batch size.

    Raises UserError for unknown names and invalid values.
    """
    make_deterministic(1)
    source = source or DataSource(default_data_dir())
    return make_trainable(problem, optimizer, device, tables, source, batch_size=batch_size)


def optimizer_step(subject: Trainable) -> Measurable:
    """One step at the default hyperparameters: forward, backward and update (once per call of the closure).

    The counters come from a separate training, so that counting does not affect the timed one.
    """
    cell = subject.cell
    most = most_steps(begin_excerpt(cell, subject.problem, subject.data, 0, 1.0), cell)
    warmup = min(WARMUP_STEPS, most - 1)

    def begin(length: float) -> Stepper:
        return begin_excerpt(cell, subject.problem, subject.data, warmup, length)

    counted = begin(UNLIMITED)
    exact = counters(_synchronise(counted.step, cell.device), cell.device, counted.ledger)
    cost = counted.ledger.cost / (counted.steps - warmup)
    calls = min(_count_calls(exact["operations"]), most - warmup)
    first: list[tuple[Stepper, list[Tensor]]] = []

    def start() -> Callable[[], Any]:
        stepper = begin(calls * cost)
        if not first:
            first.append((stepper, clone_parameters(stepper)))
        return _synchronise(stepper.step, cell.device)

    def verify() -> None:
        assert first, "no step was taken"
        stepper, before = first[0]
        assert not are_equal(before, clone_parameters(stepper)), f"{cell.optimizer.label} moved no parameter"

    return Measurable(Rounds(start, calls), {"steps": 1, **exact}, verify)


def forward_backward(subject: Trainable) -> Measurable:
    """The loss of one batch and its gradient, without an update."""
    batch = subject.data.train.batch(torch.arange(subject.cell.batch_size, device=subject.cell.device))
    steppers: list[Stepper] = []

    def start() -> Callable[[], Any]:
        stepper = begin_excerpt(subject.cell, subject.problem, subject.data, WARMUP_STEPS, UNLIMITED)
        steppers[:] = [stepper]

        def gradient() -> None:
            stepper.optimizer.zero_grad(set_to_none=True)
            stepper.ledger.charge_gradient(subject.cell.batch_size)
            subject.problem.loss(stepper.model, batch).backward()

        gradient()
        return _synchronise(gradient, subject.cell.device)

    def verify() -> None:
        parameters = steppers[0].model.parameters()
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in parameters), "no gradient"

    work = start()
    exact = counters(work, subject.cell.device, steppers[0].ledger)
    return Measurable(Rounds(start, _count_calls(exact["operations"])), exact, verify)


def training(subject: Trainable, examples: int) -> Measurable:
    """A whole training with a budget of `examples` example gradients, including evaluations."""
    cell = replace(subject.cell, evaluations=2)
    records = []

    def work() -> None:
        records.append(train(cell, subject.problem, subject.data, cell.optimizer.defaults, 0, examples))

    def verify() -> None:
        assert records
        assert records[-1].steps > 0, "the budget paid for no step"
        assert records[-1].status == "ok", f"{records[-1].status}: {records[-1].error}"

    exact = {"operations": operations(work), "steps": records[-1].steps}
    passes = {"forwards": records[-1].forwards, "backwards": records[-1].backwards}
    return Measurable(Rounds(lambda: work, 1), exact | passes, verify)


def _count_calls(operations_each: int) -> int:
    return next((calls for calls in _CALLS if calls * operations_each <= _OPERATIONS), 1)


def _synchronise(work: Callable[[], Any], device: str) -> Callable[[], None]:
    def whole() -> None:
        work()
        synchronize(device)

    return whole
