"""The subjects of timings: single steps, gradients and whole trainings of optimizers and problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from optbench.conformance.subject import Trainable, are_equal, clone_parameters, make_trainable
from optbench.machine.device import make_deterministic, synchronize
from optbench.problem.data import DataSource, default_data_dir
from optbench.timing.counters import counters, operations
from optbench.training.loop import train
from optbench.training.stepper import Stepper

#: Steps before the first count or time, in which libraries initialise themselves and the state is allocated.
WARMUP_STEPS = 3
#: A lower bound of the time of an operation, in seconds. From it, the number of calls for a round of a millisecond is
#: computed without a clock, so that it is the same each time.
_OPERATION = 1.5e-6
_ROUND = 1e-3
#: The budget in steps: more than are timed, but few enough that a schedule with warm-up starts above zero.
_BUDGET = 20_000


@dataclass(frozen=True)
class Measurable:
    """Work to be timed.

    `work` is one call; `calls` of them make a round of at least a millisecond. `verify` raises AssertionError if the
    work had no effect. `counters` are exact.
    """

    work: Callable[[], Any]
    calls: int
    counters: dict[str, int]
    verify: Callable[[], None]


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
    counted = _stepper(subject)
    exact = counters(_synchronise(counted.step, subject.cell.device), subject.cell.device, counted.ledger)
    timed = _stepper(subject)
    before = clone_parameters(timed)

    def verify() -> None:
        assert timed.steps > WARMUP_STEPS, "no step was taken"
        assert not are_equal(before, clone_parameters(timed)), f"{subject.cell.optimizer.label} moved no parameter"

    calls = _calls(exact["operations"])
    return Measurable(_synchronise(timed.step, subject.cell.device), calls, {"steps": 1, **exact}, verify)


def forward_backward(subject: Trainable) -> Measurable:
    """The loss of one batch and its gradient, without an update."""
    stepper = _stepper(subject)
    batch = subject.data.train.batch(torch.arange(subject.cell.batch_size, device=subject.cell.device))
    model = stepper.model

    def gradient() -> None:
        stepper.optimizer.zero_grad(set_to_none=True)
        stepper.ledger.charge_gradient(subject.cell.batch_size)
        subject.problem.loss(model, batch).backward()

    def verify() -> None:
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters()), "no gradient"

    gradient()
    work = _synchronise(gradient, subject.cell.device)
    exact = counters(work, subject.cell.device, stepper.ledger)
    return Measurable(work, _calls(exact["operations"]), exact, verify)


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
    return Measurable(work, 1, exact | {"forwards": records[-1].forwards, "backwards": records[-1].backwards}, verify)


def _stepper(subject: Trainable) -> Stepper:
    stepper = subject.stepper(budget=_BUDGET * subject.cell.batch_size)
    for _ in range(WARMUP_STEPS):
        stepper.step()
    return stepper


def _calls(operations_each: int) -> int:
    return max(1, round(_ROUND / (_OPERATION * max(operations_each, 1))))


def _synchronise(work: Callable[[], Any], device: str) -> Callable[[], None]:
    def whole() -> None:
        work()
        synchronize(device)

    return whole
