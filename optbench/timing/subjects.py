"""What is timed of optimizers and problems: single steps, gradients, whole trainings, each on a batch of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from optbench.conformance.subject import Trainable, equal, positions, trainable
from optbench.machine.device import make_deterministic, synchronize
from optbench.problem.data import DataSource, default_data_dir
from optbench.timing.counters import counters, operations
from optbench.training.loop import train
from optbench.training.stepper import Stepper

#: Steps before anything is counted or timed: libraries have set themselves up, and the state is allocated.
WARMUP_STEPS = 3
#: An operation takes longer than this, in seconds: enough calls for a round of a millisecond are found without a clock,
#: so that they are the same each time.
_OPERATION = 1.5e-6
_ROUND = 1e-3
#: Of a budget, in steps: more than are timed, and so few that the rate of a schedule that warms up is not nothing.
_BUDGET = 20_000


@dataclass(frozen=True)
class Measurable:
    """Work to be timed: `work` is one call, of which `calls` make a round of a millisecond or more; `verify` raises
    AssertionError where the work was none. `counters` are exact.
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
    """The cell of an optimizer on a problem; the batch is the problem's smallest default unless said otherwise.

    Raises UserError for names and values that make no sense.
    """
    make_deterministic(1)
    source = source or DataSource(default_data_dir())
    return trainable(problem, optimizer, device, tables, source, batch_size=batch_size)


def optimizer_step(found: Trainable) -> Measurable:
    """One step at the untuned hyperparameters: forward, backward and update (as often as a closure is called).

    The counters are those of a training of its own, which the timed one doesn't notice.
    """
    counted = _stepper(found)
    exact = counters(_synchronised(counted.step, found.cell.device), found.cell.device, counted.ledger)
    timed = _stepper(found)
    before = positions(timed)

    def verify() -> None:
        assert timed.steps > WARMUP_STEPS, "no step was taken"
        assert not equal(before, positions(timed)), f"{found.cell.optimizer.label} moved no parameter"

    calls = _calls(exact["operations"])
    return Measurable(_synchronised(timed.step, found.cell.device), calls, {"steps": 1, **exact}, verify)


def forward_backward(found: Trainable) -> Measurable:
    """The loss of one batch and its gradient, without an update."""
    stepper = _stepper(found)
    batch = found.data.train.batch(torch.arange(found.cell.batch_size, device=found.cell.device))
    model = stepper.model

    def gradient() -> None:
        stepper.optimizer.zero_grad(set_to_none=True)
        stepper.ledger.charge_gradient(found.cell.batch_size)
        found.problem.loss(model, batch).backward()

    def verify() -> None:
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters()), "no gradient"

    gradient()
    work = _synchronised(gradient, found.cell.device)
    exact = counters(work, found.cell.device, stepper.ledger)
    return Measurable(work, _calls(exact["operations"]), exact, verify)


def training(found: Trainable, examples: int) -> Measurable:
    """A whole training of so many example gradients, evaluations included."""
    cell = replace(found.cell, evaluations=2)
    records = []

    def work() -> None:
        records.append(train(cell, found.problem, found.data, cell.optimizer.defaults, 0, examples))

    def verify() -> None:
        assert records
        assert records[-1].steps > 0, "the budget paid for no step"
        assert records[-1].status == "ok", f"{records[-1].status}: {records[-1].error}"

    exact = {"operations": operations(work), "steps": records[-1].steps}
    return Measurable(work, 1, exact | {"forwards": records[-1].forwards, "backwards": records[-1].backwards}, verify)


def _stepper(found: Trainable) -> Stepper:
    stepper = found.stepper(budget=_BUDGET * found.cell.batch_size)
    for _ in range(WARMUP_STEPS):
        stepper.step()
    return stepper


def _calls(operations_each: int) -> int:
    return max(1, round(_ROUND / (_OPERATION * max(operations_each, 1))))


def _synchronised(work: Callable[[], Any], device: str) -> Callable[[], None]:
    def whole() -> None:
        work()
        synchronize(device)

    return whole
