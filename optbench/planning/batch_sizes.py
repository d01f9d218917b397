"""Chooses the batch sizes of a problem: those that the user requested, or the problem's default sizes.

A requested size must fit. Default sizes that exceed the training set or the run budget, as can happen for some
parameters of a problem, are left out with a note in the plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from optbench.budget import Budget
from optbench.errors import UserError, out_of_range


def choose_batch_sizes(
    problem: str, examples: int, budget: Budget, requested: Sequence[int], defaults: Sequence[int]
) -> tuple[Sequence[int], list[str]]:
    """Choose the batch sizes at which a problem is run.

    Args:
        problem: The problem's label, for messages.
        examples: Number of training examples.
        budget: The run budget.
        requested: The sizes that the user requested; empty for the problem's defaults.
        defaults: The problem's default sizes.

    Returns:
        The batch sizes, and a note for each reason for which default sizes are left out.

    Raises:
        UserError: If a requested size does not fit, or if no default size does.
    """
    for size in requested or ():
        if not 1 <= size <= examples:
            raise out_of_range(f"batch size of {problem}", size, f"1 to its {examples} training examples")
        if size > _affordable(budget, examples):
            raise _unaffordable(problem, budget, size)
    if requested:
        return requested, []
    if not defaults:
        raise UserError(
            f"problem {problem} has no batch sizes (accepted: at least one, in the problem or by --batch-size)"
        )
    if min(defaults) > examples:
        raise UserError(
            f"no batch size of {problem} fits its {examples} training examples: the problem has {_join(defaults)} "
            f"(accepted: 1 to {examples}, in the problem or by --batch-size)"
        )
    if min(defaults) > _affordable(budget, examples):
        raise _unaffordable(problem, budget, min(defaults))
    too_large = [size for size in defaults if size > examples]
    too_expensive = [size for size in defaults if _affordable(budget, examples) < size <= examples]
    notes = [
        *_omission_notes(problem, too_large, f"there are {examples} training examples"),
        *_omission_notes(problem, too_expensive, f"the run budget is {budget}"),
    ]
    return [size for size in defaults if size not in (*too_large, *too_expensive)], notes


def _affordable(budget: Budget, examples: int) -> float:
    """The largest batch size whose first step the budget covers; infinite for a budget in seconds."""
    return math.inf if budget.unit == "seconds" else budget.examples(examples)


def _unaffordable(problem: str, budget: Budget, size: int) -> UserError:
    return UserError(
        f"run budget {budget} of {problem} is less than one step of batch size {size} (accepted: at least "
        f"{size}examples)"
    )


def _omission_notes(problem: str, sizes: Sequence[int], reason: str) -> list[str]:
    """A note on the sizes that are left out; an empty list if there are none."""
    if not sizes:
        return []
    subject = (
        f"batch size {sizes[0]} of {problem} is" if len(sizes) == 1 else f"batch sizes {_join(sizes)} of {problem} are"
    )
    return [f"{subject} left out: {reason}"]


def _join(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
