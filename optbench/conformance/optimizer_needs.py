"""Checks of what an optimizer needs and how it is executed: evaluations, second backwards, steps linear in the rate."""

from __future__ import annotations

from typing import cast

import torch

from optbench.budget import SECOND_BACKWARD, THIRDS
from optbench.conformance.finding import failed, note, skipped
from optbench.conformance.subject import Counting, OptimizerSubject, positions
from optbench.problem.base import Problem
from optbench.training.execution.linearity import linearity


def charges(subject: OptimizerSubject) -> str:
    """All that a step computes is charged: as many evaluations as there are, and no more than the budget."""
    net, steps = subject.net, 4
    stepper = net.stepper()
    counted = Counting(net.problem)
    stepper.problem = cast(Problem, counted)
    for _ in range(steps):
        stepper.step()
    ledger, size = stepper.ledger, net.cell.batch_size
    if counted.losses != ledger.forwards:
        raise failed(
            f"computes the loss {counted.losses} times in {steps} steps, and {ledger.forwards} are charged",
            "evaluate by the closure that step() is given, and by nothing else",
        )
    seconds = ledger.thirds - THIRDS * size * ledger.forwards
    if subject.choice.second_backward:
        times = seconds // (SECOND_BACKWARD * size)
        if not times:
            raise note(
                f"no second backward in {steps} steps: either it takes one now and then, or needs none",
                "leave second_backward out if it needs none: gradients with their graph take twice the memory",
            )
        return f"{ledger.forwards} evaluations and {times} second backwards in {steps} steps, all charged"
    if not subject.choice.needs_closure and ledger.forwards != steps:
        raise failed(f"{ledger.forwards} evaluations in {steps} plain steps", "step() must not evaluate")
    return f"{ledger.forwards} evaluations in {steps} steps, all charged"


def budget(subject: OptimizerSubject) -> str:
    """Where the budget ends within a step, the step is undone and nothing is overspent."""
    net = subject.net
    size = net.cell.batch_size
    whole = net.stepper(budget=8 * size + size // 2)
    before = positions(whole)
    while whole.ledger.affords_gradient(size):
        before = positions(whole)
        if not whole.step():
            break
        before = positions(whole)
    if whole.ledger.thirds > THIRDS * whole.ledger.budget:
        raise failed("spends more than its budget", "evaluate by the closure only, and let its exceptions pass")
    if not all(map(torch.equal, before, positions(whole))):
        raise failed(
            "is left between two steps where the budget ends inside one",
            "let exceptions of the closure pass, and change parameters in place",
        )
    return "never overspent"


def linear(subject: OptimizerSubject) -> str:
    """Whether the step is linear in the rate, so that many rates can be trained at once."""
    choice = subject.choice
    if choice.needs_closure or choice.groups or choice.second_backward or choice.step.special:
        raise skipped("its trainings are executed one after another anyway")
    if "lr" not in choice.defaults:
        raise skipped("it has no learning rate")
    found = linearity(choice)
    if choice.linear_in_rate and found is None:
        raise failed(
            "declared linear in the learning rate, coordinate by coordinate, and isn't",
            "leave linear_in_rate out: a probe tells",
        )
    if found is None:
        raise note("not linear in the learning rate coordinate by coordinate: trained one rate after another")
    return "linear in the learning rate: many rates can be trained at once"
