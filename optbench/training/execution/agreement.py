"""Checks that another execution of a cell's steps gives the same weights as eager execution."""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.budget import Ledger
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.device_data import ResidentData
from optbench.training.seeds import TUNING_SEEDS
from optbench.training.stepper import Stepper

#: Number of steps: enough for optimizer state, step counters and schedules to matter, but not for rounding to grow.
STEPS = 8
#: Tolerance for the difference of the final weights, relative to the distance covered. In float32 sums are computed in
#: another order. In float64 the difference is below 1e-9 except for NAdam, which always keeps a product in float32.
_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-2}
#: A seed that no trial or run uses.
_SEED = TUNING_SEEDS - 1


def require_agreement(cell: Cell, problem: Problem, data: ResidentData, stepper: type[Stepper]) -> None:
    """Takes a few steps at the optimizer's defaults with a stepper and with the eager one, and compares the weights.

    Args:
        cell: The cell.
        problem: Its problem.
        data: Its data on the device.
        stepper: The stepper to check.

    Raises:
        ArithmeticError: The weights differ by more than the tolerance.
    """
    start, end = _train(cell, problem, data, stepper)
    _, expected = _train(cell, problem, data, Stepper)
    tolerance = _TOLERANCES.get(start.dtype, 1e-2)
    difference = float((end - expected).norm() / (expected - start).norm())
    if not difference <= tolerance:
        raise ArithmeticError(
            f"after {STEPS} steps it differs from eager training by {difference:.1g} of the distance covered"
        )


def _train(cell: Cell, problem: Problem, data: ResidentData, kind: type[Stepper]) -> tuple[Tensor, Tensor]:
    """Returns the flat parameters before and after a few steps."""
    stepper = kind(cell, problem, data, cell.optimizer.defaults, _SEED, Ledger(64 * STEPS * cell.batch_size))
    start = _flat(stepper)
    for _ in range(STEPS):
        stepper.step()
    return start, _flat(stepper)


def _flat(stepper: Stepper) -> Tensor:
    return torch.cat([p.detach().flatten() for p in stepper.model.parameters() if p.requires_grad]).clone()
