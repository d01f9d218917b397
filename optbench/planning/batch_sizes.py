"""At which batch sizes a problem is run: at those that were asked for, or at its own.

What was asked for has to fit. A problem's own sizes were asked for by nobody in particular: those that are larger than
its training set or its run budget, as that may be for some parameters, are left out, and the plan says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from optbench.budget import Budget
from optbench.errors import UserError, out_of_range


def batch_sizes(
    problem: str, examples: int, budget: Budget, asked: Sequence[int], own: Sequence[int]
) -> tuple[Sequence[int], list[str]]:
    """The batch sizes of a problem, by its label, with so many training examples and this run budget, and what to say
    of them.

    Raises UserError where one that was asked for doesn't fit, and where there are none.
    """
    for size in asked or ():
        if not 1 <= size <= examples:
            raise out_of_range(f"batch size of {problem}", size, f"1 to its {examples} training examples")
        if size > _affordable(budget, examples):
            raise _unaffordable(problem, budget, size)
    if asked:
        return asked, []
    if not own:
        raise UserError(f"problem {problem} has no batch sizes (accepted: one at least, here or in the problem)")
    if min(own) > examples:
        raise UserError(
            f"no batch size of {problem} fits its {examples} training examples: it has {_listed(own)} (accepted: 1 to "
            f"{examples}, in the problem or by --batch-size)"
        )
    if min(own) > _affordable(budget, examples):
        raise _unaffordable(problem, budget, min(own))
    too_large = [size for size in own if size > examples]
    too_dear = [size for size in own if _affordable(budget, examples) < size <= examples]
    notes = [
        *_left_out(problem, too_large, f"there are {examples} training examples"),
        *_left_out(problem, too_dear, f"the run budget is {budget}"),
    ]
    return [size for size in own if size not in (*too_large, *too_dear)], notes


def _affordable(budget: Budget, examples: int) -> float:
    """The largest batch of which a budget buys a step; of one in seconds that isn't known."""
    return math.inf if budget.unit == "seconds" else budget.examples(examples)


def _unaffordable(problem: str, budget: Budget, size: int) -> UserError:
    return UserError(
        f"run budget {budget} of {problem} is less than one step of batch size {size} (accepted: at least "
        f"{size}examples)"
    )


def _left_out(problem: str, sizes: Sequence[int], reason: str) -> list[str]:
    if not sizes:
        return []
    which = (
        f"batch size {sizes[0]} of {problem} is"
        if len(sizes) == 1
        else f"batch sizes {_listed(sizes)} of {problem} are"
    )
    return [f"{which} left out: {reason}"]


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
