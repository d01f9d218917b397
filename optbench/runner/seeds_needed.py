"""Whether the seeds of a plan can decide any verdict, before it is computed."""

from __future__ import annotations

from optbench.planning.matrix import Plan
from optbench.statistics.fewest import describe_few_seeds


def describe_undecided(plan: Plan, stored: bool = False) -> str:
    """Returns a line that says that the seeds of a plan are too few for any verdict; empty if they may suffice.

    Args:
        plan: The plan.
        stored: Whether the cells are compared with stored ones, so that even one optimizer has another to compare.
    """
    names: dict[tuple[object, ...], set[str]] = {}
    for cell in plan.cells:
        problem, optimizer, *rest = cell.key
        names.setdefault((problem, *rest), set()).add(optimizer)
    most = max(map(len, names.values()), default=0) + stored
    return describe_few_seeds(len(plan.seeds), most) if most > 1 else ""
