"""How a cell is executed, by a rule that `plan` prints; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optbench.errors import UserError, unknown

if TYPE_CHECKING:
    from optbench.problem.base import Problem

EXECUTIONS = ("eager", "population", "compile", "cuda_graph")


@dataclass(frozen=True)
class Execution:
    """`eager` trains one replica after another, `population` all of a round, or all final runs, at once.

    `compile` and `cuda_graph` are eager training with compiled losses, or with steps that are captured as a
    graph.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Step:
    """What the rule asks of an optimizer: whether it needs a closure, its step is linear in a constant
    learning rate (None: a probe will tell), what is searched, whether it has parameter groups, and what else of it
    only a plain step can do."""

    needs_closure: bool
    linear_in_rate: bool | None
    searched: frozenset[str]
    has_rate: bool
    grouped: bool = False
    special: str = ""


def choose(problem: Problem, step: Step, device: str, batch_size: int, wanted: str = "auto") -> Execution:
    """`population` where the step allows it and the problem says that it is faster, else `eager`.

    `wanted` overrides the problem's word, not the optimizer's. Compiling pays within no training's length on a
    CPU (docs/performance.md), and on a GPU nothing was measured, so the rule chooses neither that nor graphs.
    Raises UserError for an unknown execution, and for one that the device doesn't have.
    """
    if wanted not in ("auto", *EXECUTIONS):
        raise unknown("execution", wanted, ("auto", *EXECUTIONS))
    if wanted == "cuda_graph" and not device.startswith("cuda"):
        others = ", ".join(name for name in ("auto", *EXECUTIONS) if name != wanted)
        raise UserError(f"execution 'cuda_graph' needs a CUDA device, not {device} (accepted there: {others})")
    if wanted in ("eager", "compile"):
        return Execution(wanted, "chosen")
    if step.needs_closure:
        return Execution("eager", "the optimizer evaluates a closure")
    if step.grouped:
        return Execution("eager", "parameter groups have rates of their own")
    if step.special:
        return Execution("eager", step.special)
    if problem.freezing:
        return Execution("eager", "parts of the model are frozen for a while")
    if wanted == "cuda_graph":
        return Execution("cuda_graph", "chosen")
    if step.linear_in_rate is False or not step.has_rate:
        return Execution("eager", "the step is not linear in a learning rate")
    if not step.searched <= {"lr"}:
        return Execution("eager", "replicas would differ in more than the learning rate")
    if wanted == "population":
        return Execution("population", "chosen")
    if not problem.stacks(device.partition(":")[0], batch_size):
        return Execution("eager", f"this network gains nothing from replicas at once on {device}")
    proven = "" if step.linear_in_rate else ", if a probe agrees"
    return Execution("population", f"the step is linear in the rate{proven}")
