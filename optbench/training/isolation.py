"""Finds optimizers whose trainings depend on what was trained before in the same process.

A user's code may keep state outside of its instances: a counter in its module, a list as a default argument. The checks
of `optbench check` find state that shows within a few steps of a new process. Here a few steps of a cell are taken when
a process first meets it, at once again, and later again: equal steps must give equal weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.budget import Ledger
from optbench.machine.settings import keep_settings
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.device_data import ResidentData
from optbench.training.seeds import TUNING_SEEDS
from optbench.training.stepper import Stepper

_STEPS = 5
#: A seed that no trial or run uses.
_SEED = TUNING_SEEDS - 5
#: Relative tolerance on devices whose sums have no fixed order; on a CPU, equal steps give equal bits.
_TOLERANCE = 1e-3
#: By cell id, the movement in the first steps in this process; None if they failed.
_first: dict[str, Tensor | None] = {}
#: Constructors that were found in this process, with the version of their code.
_found: set[tuple[str, str]] = set()


def depends_on_past(cell: Cell, problem: Problem, data: ResidentData) -> bool:
    """Whether the same steps give other weights than when this process first met the cell.

    Only a user's own optimizers are tried. One that was found in this process is not tried again.

    Args:
        cell: The cell.
        problem: Its problem.
        data: Its data on the device.
    """
    if not cell.optimizer.has_own_code:
        return False
    if code_of(cell) in _found:
        return True
    if cell.id not in _first:
        _first[cell.id] = _move(cell, problem, data)
    first, now = _first[cell.id], _move(cell, problem, data)
    if first is not None and now is not None and not _is_same(cell, first, now):
        note_dependence(cell)
    return code_of(cell) in _found


def code_of(cell: Cell) -> tuple[str, str]:
    """Returns the constructor of a cell's optimizer and the version of its code."""
    return cell.optimizer.constructor, cell.optimizer.source


def note_dependence(cell: Cell) -> None:
    """Remembers that trainings of the cell's optimizer depend on what was trained before in this process."""
    _found.add(code_of(cell))


def describe_dependence(cell: Cell) -> str:
    """Returns the remark on the runs of a cell whose optimizer was found."""
    own_problem = f" or of problem {cell.problem.label}" if "source" in cell.problem.identity else ""
    code = f"the code of optimizer {cell.optimizer.label}{own_problem}"
    return (
        f"repeated in the same process, a training had other losses: {code} keeps state between trainings (keep it in "
        "the instance, or declare reset = 'module:function'), or draws random numbers without the seed"
    )


def _move(cell: Cell, problem: Problem, data: ResidentData) -> Tensor | None:
    """Returns the distance that each parameter moves in a few steps; None if the steps fail."""
    seconds = cell.run_budget.unit == "seconds"
    try:
        with keep_settings():  # a constructor may have changed them
            ledger = Ledger(cell.training_examples if seconds else cell.run_cost)
            stepper = Stepper(cell, problem, data, cell.optimizer.defaults, _SEED, ledger)
            parameters = list(stepper.model.parameters())
            start = [parameter.detach().clone() for parameter in parameters]
            for _ in range(_STEPS):
                if not ledger.affords_gradient(cell.batch_size) or not stepper.step():
                    break
            pairs = zip(parameters, start, strict=True)
            return torch.stack([(end.detach() - first).double().norm().cpu() for end, first in pairs])
    except Exception:  # the trainings themselves report it
        return None


def _is_same(cell: Cell, one: Tensor, other: Tensor) -> bool:
    tolerance = 0.0 if cell.device == "cpu" else _TOLERANCE
    return bool(torch.allclose(one, other, rtol=tolerance, atol=0.0, equal_nan=True))
