"""Excerpts of trainings: a few steps that stand for a whole training, to be timed.

What changes in the course of a training (frozen parts, learning rates) changes within an excerpt at the same share of
its steps. All excerpts of a cell with the same settings compute the same steps.
"""

from __future__ import annotations

from optbench.budget import THIRDS, UNLIMITED, Ledger
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.device_data import ResidentData
from optbench.training.stepper import Stepper

#: Steps before an excerpt, in which libraries initialise themselves and the optimizer allocates its state.
WARMUP_STEPS = 3


def begin_excerpt(
    cell: Cell, problem: Problem, data: ResidentData, warmup: int, length: float, budget: int = UNLIMITED
) -> Stepper:
    """Returns a stepper after its warm-up, whose next steps are an excerpt of a training at the default values.

    Args:
        cell: The cell.
        problem: Its problem.
        data: Its data on the device.
        warmup: Number of steps of the warm-up.
        length: Cost of the excerpt in example gradients.
        budget: Budget of the stepper in example gradients. A step under an unlimited one can't be undone, and so needs
            no copies of the model.
    """
    ledger = Ledger(budget)
    stepper = Stepper(cell, problem, data, cell.optimizer.defaults, 0, ledger)
    for _ in range(warmup):
        stepper.step()
    if warmup:
        stepper.stop_watching()
    ledger.thirds, ledger.length = 0, max(1 / THIRDS, length)
    return stepper


def most_steps(stepper: Stepper, cell: Cell) -> int:
    """Returns how many steps an optimizer can take: one that receives the number of steps may fail after it."""
    return stepper.facts["steps"] if cell.optimizer.from_run else UNLIMITED
