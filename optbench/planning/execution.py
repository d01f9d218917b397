"""Chooses the execution of each cell by a rule whose reason `plan` prints. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optbench.errors import UserError, unknown

if TYPE_CHECKING:
    from optbench.problem.base import Problem

EXECUTIONS = ("eager", "population", "compile", "cuda_graph")


@dataclass(frozen=True)
class Execution:
    """How the trainings of a cell are executed.

    `eager` trains one replica after another. `population` trains all replicas of a tuning round, or of all final runs,
    at once. `compile` is eager training with a compiled loss, and `cuda_graph` is eager training whose steps are
    captured as a CUDA graph.
    """

    #: One of `EXECUTIONS`.
    name: str
    #: Why it was chosen, as `plan` prints it.
    reason: str


@dataclass(frozen=True)
class StepTraits:
    """The properties of an optimizer on which its execution depends."""

    #: Whether the step evaluates a closure.
    needs_closure: bool
    #: Whether the step is linear in a constant learning rate; None if a probe decides.
    linear_in_rate: bool | None
    #: Names of the hyperparameters that are tuned, or would be tuned if they were not fixed.
    searched: frozenset[str]
    #: Whether the optimizer has a learning rate.
    has_rate: bool
    #: Whether it has parameter groups.
    grouped: bool = False
    #: A further reason why only eager execution is possible; empty if there is none.
    special: str = ""


def choose_execution(
    problem: Problem, step: StepTraits, device: str, batch_size: int, wanted: str = "auto"
) -> Execution:
    """Choose `population` if the optimizer's step allows it and the problem declares it faster, otherwise `eager`.

    The rule never chooses `compile`, which did not pay off within the length of any training measured on a CPU
    (docs/performance.md), nor `cuda_graph`.

    Args:
        problem: The problem, whose `stacks` and `freezing` count.
        step: Properties of the optimizer.
        device: The device, such as `cpu` or `cuda:0`.
        batch_size: The batch size.
        wanted: `auto`, or an execution that the user requests. A request overrides the problem's declaration but not
            the optimizer's constraints.

    Raises:
        UserError: If the execution is unknown or not available on the device.
    """
    if wanted not in ("auto", *EXECUTIONS):
        raise unknown("execution", wanted, ("auto", *EXECUTIONS))
    if wanted == "cuda_graph" and not device.startswith("cuda"):
        others = ", ".join(name for name in ("auto", *EXECUTIONS) if name != wanted)
        raise UserError(f"execution 'cuda_graph' needs a CUDA device, not {device} (accepted: {others})")
    if wanted in ("eager", "compile"):
        return Execution(wanted, "requested")
    if step.needs_closure:
        return Execution("eager", "the optimizer evaluates a closure")
    if step.grouped:
        return Execution("eager", "parameter groups have rates of their own")
    if step.special:
        return Execution("eager", step.special)
    if problem.freezing:
        return Execution("eager", "parts of the model start frozen")
    if wanted == "cuda_graph":
        return Execution("cuda_graph", "requested")
    if step.linear_in_rate is False or not step.has_rate:
        return Execution("eager", "the step is not linear in a learning rate")
    if not step.searched <= {"lr"}:
        return Execution("eager", "tuning varies more than the learning rate")
    if wanted == "population":
        return Execution("population", "requested")
    if not problem.stacks(device.partition(":")[0], batch_size):
        return Execution("eager", f"stacked replicas are not faster for this problem on {device}")
    condition = "" if step.linear_in_rate else ", if a probe confirms it"
    return Execution("population", f"the step is linear in the learning rate{condition}")
