"""Checks of an optimizer's cost and execution: evaluations, second backward passes, linearity in the learning rate."""

from __future__ import annotations

from typing import cast

import torch

from optbench.budget import SECOND_BACKWARD, THIRDS
from optbench.conformance.finding import failure, note, skip
from optbench.conformance.subject import CountingProblem, OptimizerSubject, clone_parameters
from optbench.problem.base import Problem
from optbench.training.execution.linearity import probe_linearity


def charges(subject: OptimizerSubject) -> str:
    """Checks that every evaluation of the loss and every second backward pass is charged to the budget."""
    net, steps = subject.net, 4
    stepper = net.stepper()
    counting = CountingProblem(net.problem)
    stepper.problem = cast(Problem, counting)
    for _ in range(steps):
        stepper.step()
    ledger, size = stepper.ledger, net.cell.batch_size
    if counting.losses != ledger.forwards:
        raise failure(
            f"evaluates the loss {counting.losses} times in {steps} steps, but only {ledger.forwards} are charged",
            "evaluate the loss only through the closure that is passed to step()",
        )
    seconds = ledger.thirds - THIRDS * size * ledger.forwards
    if subject.choice.second_backward:
        times = seconds // (SECOND_BACKWARD * size)
        if not times:
            raise note(
                f"no second backward pass in {steps} steps: the optimizer needs it only occasionally, or not at all",
                "remove second_backward if it is not needed: keeping the graph of the gradients doubles their memory",
            )
        return f"{ledger.forwards} evaluations and {times} second backward passes in {steps} steps, all charged"
    if not subject.choice.needs_closure and ledger.forwards != steps:
        raise failure(
            f"{ledger.forwards} evaluations in {steps} steps without a closure", "do not evaluate the loss in step()"
        )
    return f"{ledger.forwards} evaluations in {steps} steps, all charged"


def budget(subject: OptimizerSubject) -> str:
    """Checks that a step during which the budget runs out is undone, and that the budget is not exceeded."""
    net = subject.net
    size = net.cell.batch_size
    whole = net.stepper(budget=8 * size + size // 2)
    before = clone_parameters(whole)
    while whole.ledger.affords_gradient(size):
        before = clone_parameters(whole)
        if not whole.step():
            break
        before = clone_parameters(whole)
    if whole.ledger.thirds > THIRDS * whole.ledger.budget:
        raise failure(
            "exceeds its budget", "evaluate the loss only through the closure, and do not catch its exceptions"
        )
    if not all(map(torch.equal, before, clone_parameters(whole))):
        raise failure(
            "the parameters are left between two steps if the budget runs out during a step",
            "do not catch the closure's exceptions, and change parameters in place",
        )
    return "never exceeded"


def linear(subject: OptimizerSubject) -> str:
    """Checks whether the step is linear in the learning rate, so that many rates can be trained at once."""
    choice = subject.choice
    if choice.needs_closure or choice.groups or choice.second_backward or choice.step.special:
        raise skip("its trainings are executed one after another in any case")
    if "lr" not in choice.defaults:
        raise skip("it has no learning rate")
    method = probe_linearity(choice)
    if choice.linear_in_rate and method is None:
        raise failure(
            "declared linear_in_rate, but the step is not proportional to the learning rate in each coordinate",
            "remove linear_in_rate: optbench tests it",
        )
    if method is None:
        raise note(
            "the step is not proportional to the learning rate in each coordinate: rates are trained one after another"
        )
    return "each step is proportional to the learning rate: many rates can be trained at once"
