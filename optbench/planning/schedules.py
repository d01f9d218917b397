"""Checks, before anything is computed, that the schedules of a cell are valid and fit into its runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from optbench import selection
from optbench.errors import UserError
from optbench.optimizers.schedule import NoEffect, Schedule, optimizer_schedule, parse_schedule
from optbench.optimizers.search_space import Choices, Range
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS

if TYPE_CHECKING:
    from optbench.planning.matrix import Cell
    from optbench.planning.optimizer_choice import OptimizerChoice

#: The first schedules.
_FORMER = ("constant", "linear", "cosine", "step")


def canonical_schedule(text: str) -> str:
    """Return the text of a schedule as it is in a cell's identity; raises UserError if it is not valid.

    The order of parameters does not matter, except in texts that were accepted before there were further schedules:
    stored cells have them as they were written.
    """
    parse_schedule(text)
    [chosen] = selection.parse(text)
    if chosen.name in _FORMER and dict(chosen.parameters).keys() <= {"at", "factor", "warmup"}:
        return str(chosen)
    return str(replace(chosen, parameters=tuple(sorted(chosen.parameters))))


def check_schedules(cell: Cell) -> list[str]:
    """Check every schedule that a training of a cell can have.

    Args:
        cell: The cell.

    Returns:
        Notes for the user.

    Raises:
        UserError: If an optimizer has its own schedule in addition to the cell's, if a schedule is not valid or does
            not fit into the run, or if a hyperparameter of a schedule has no effect.
    """
    choice = cell.optimizer
    if not choice.scheduled:
        return _check_length(parse_schedule(cell.schedule), cell)
    if cell.schedule != "constant":
        raise UserError(
            f"optimizer {choice.label} has its own lr_schedule or lr_warmup and can't be combined with "
            f"schedule {cell.schedule} (accepted: constant)"
        )
    try:
        return [note for schedule in _own_schedules(choice) for note in _check_length(schedule, cell)]
    except UserError as error:
        raise UserError(f"optimizer {choice.label}: {error}") from None


def _own_schedules(choice: OptimizerChoice) -> Iterator[Schedule]:
    """The schedules that an optimizer's hyperparameters can define: for each shape, those of the extreme values."""
    shapes, keys = _tried(choice, "lr_schedule"), [key for key in SCHEDULE_HYPERPARAMETERS if key != "lr_schedule"]
    for shape in shapes:
        tried = {key: values for key in keys if (values := _tried(choice, key, shape))}
        for combination in product(*tried.values()):
            try:
                yield optimizer_schedule({"lr_schedule": shape, **dict(zip(tried, combination, strict=True))})
            except NoEffect as error:
                several = "search it with when = { lr_schedule = … }"
                if error.key not in choice.search:
                    several = "write it into the other shapes, as in cosine[final=0.1]"
                raise UserError(f"{error}{f'; {several}' if len(shapes) > 1 else ''}") from None


def _tried(choice: OptimizerChoice, key: str, shape: Any = None) -> list[Any]:
    """The extreme values of a hyperparameter with a shape; none if it is not set or its condition is not met."""
    searched = choice.search.get(key)
    if searched is None:
        default = ["constant"] if key == "lr_schedule" else []
        return [choice.arguments[key]] if key in choice.arguments else default
    if shape is not None and any(name == "lr_schedule" and shape not in of for name, of in searched.when):
        return []
    values = _extremes(searched)
    return [*values, *([choice.defaults[key]] if key in choice.defaults else [])]


def _extremes(searched: Range | Choices) -> list[Any]:
    if isinstance(searched, Choices):
        return list(searched.values)
    number = int if searched.whole else float
    return [*map(number, (searched.low, searched.high)), *([number(0)] if searched.zero else [])]


def _check_length(schedule: Schedule, cell: Cell) -> list[str]:
    """Check that a schedule fits into the runs of a cell; returns a note if its steps are not the optimizer's."""
    counted = " and ".join(schedule.counted)
    seconds, run = cell.run_budget.unit == "seconds", f"a run of {cell.problem.label} at batch size {cell.batch_size}"
    if seconds and counted:
        raise UserError(
            f"schedule {schedule.text}: {counted} in steps can't be combined with a run budget in seconds, whose steps "
            "are not known before (accepted: a share of the run)"
        )
    schedule.check_length(math.inf if seconds else cell.run_cost / cell.batch_size, run)
    if not counted or not (cell.optimizer.needs_closure or cell.optimizer.second_backward):
        return []
    return [
        f"optimizer {cell.optimizer.label} may compute several gradients per step, and {counted} of schedule "
        f"{schedule.text} counts gradients"
    ]
