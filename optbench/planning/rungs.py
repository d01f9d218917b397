"""The rungs of a ladder: one problem with several run budgets, or in several sizes.

A run budget of its own is written as a parameter of the problem, `mlp[run_budget=[1epochs,3epochs]]`. So each rung has
a name of its own, and everything that is done with problems can be done with rungs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from optbench.budget import Budget, parse_budget
from optbench.errors import invalid, unknown
from optbench.problem.base import Problem
from optbench.selection import Selection

#: The parameter of a selected problem that no problem receives.
RUN_BUDGET = "run_budget"


def split_run_budget(chosen: Selection) -> tuple[Selection, str | None]:
    """Return a selection without its run budget, and the run budget as text, or None.

    >>> selection, budget = split_run_budget(Selection("mlp", (("hidden", 8), ("run_budget", "3epochs"))))
    >>> str(selection), budget
    ('mlp[hidden=8]', '3epochs')
    """
    own = [value for key, value in chosen.parameters if key == RUN_BUDGET]
    if own and not isinstance(own[0], str):
        raise invalid("run budget", own[0], f"amounts such as {chosen.name}[{RUN_BUDGET}=3epochs]")
    others = tuple((key, value) for key, value in chosen.parameters if key != RUN_BUDGET)
    return Selection(chosen.name, others), own[0] if own else None


def label_budgets(
    name: str, problem: Problem, own: str | None, common: str | Sequence[str]
) -> list[tuple[str, Budget]]:
    """Return the label and the run budget of each rung of a problem.

    The run budget is part of the label if it was chosen in brackets, or if there are several.

    Args:
        name: The name of the problem.
        problem: The problem.
        own: The run budget that was chosen in brackets, or None.
        common: The other run budgets, which hold without one in brackets.

    Raises:
        UserError: If a run budget is not valid.
    """
    parameters = tuple(problem.display().items())
    texts = [own] if own is not None else [common] if isinstance(common, str) else list(common)
    budgets = dict.fromkeys(parse_budget(text) for text in texts)
    named = own is not None or len(budgets) > 1
    return [
        (str(Selection(name, (*parameters, (RUN_BUDGET, str(budget))) if named else parameters)), budget)
        for budget in budgets
    ]


def size_of(problem: Problem, parameter: str | None) -> float | None:
    """Return the size of a problem: the value of a parameter, or None if it has no such number."""
    value = getattr(problem, parameter, None) if parameter in _parameters(problem) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def check_size(parameter: str, problems: Sequence[Problem]) -> None:
    """Raise UserError if no problem has the size of the ladder among its parameters."""
    if all(size_of(problem, parameter) is None for problem in problems):
        numbers = {name for one in problems for name in _parameters(one) if size_of(one, name) is not None}
        raise unknown("size of the ladder", parameter, numbers)


def ladder_label(name: str, problem: Problem, size: str | None) -> str:
    """Return the name of a problem's ladder: that of the problem without its size.

    >>> from optbench.problem.registry import make_problem
    >>> ladder_label("mlp", make_problem("mlp", {"hidden": 8, "layers": 3}), "hidden")
    'mlp[layers=3]'
    """
    return str(Selection(name, tuple((key, value) for key, value in problem.display().items() if key != size)))


def _parameters(problem: Problem) -> list[str]:
    return [one.name for one in fields(problem) if one.init]
