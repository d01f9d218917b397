"""Whether another way of executing a cell's steps gives the same numbers as the eager one."""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.budget import Ledger
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.device_data import ResidentData
from optbench.training.seeds import TUNING_SEEDS
from optbench.training.stepper import Stepper

#: Enough for a state, a count of steps and a schedule to show, and for rounding not to grow.
STEPS = 8
#: Difference of the ways, as a share of the way. In float32 sums are taken in another order. In float64 it is
#: below 1e-9 but for NAdam, which keeps a product in float32 whatever the precision of the parameters.
_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-2}
#: No trial, nor any run, trains with this seed.
_SEED = TUNING_SEEDS - 1


def require_agreement(cell: Cell, problem: Problem, data: ResidentData, stepper: type[Stepper]) -> None:
    """Trains a few steps both ways at the optimizer's defaults; raises ArithmeticError where they differ."""
    start, found = _trained(cell, problem, data, stepper)
    _, expected = _trained(cell, problem, data, Stepper)
    tolerance = _TOLERANCES.get(start.dtype, 1e-2)
    difference = float((found - expected).norm() / (expected - start).norm())
    if not difference <= tolerance:
        raise ArithmeticError(f"after {STEPS} steps it differs from eager training by {difference:.1g} of the way")


def _trained(cell: Cell, problem: Problem, data: ResidentData, kind: type[Stepper]) -> tuple[Tensor, Tensor]:
    stepper = kind(cell, problem, data, cell.optimizer.defaults, _SEED, Ledger(64 * STEPS * cell.batch_size))
    start = _flat(stepper)
    for _ in range(STEPS):
        stepper.step()
    return start, _flat(stepper)


def _flat(stepper: Stepper) -> Tensor:
    return torch.cat([p.detach().flatten() for p in stepper.model.parameters() if p.requires_grad]).clone()
