"""Measures the cost of a step, for optimizers that receive the number of steps and may compute several gradients."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optbench.planning.matrix import Cell

if TYPE_CHECKING:
    from optbench.training.stepper import Stepper

#: Facts about a training that depend on the number of steps.
COUNTED = ("steps", "epochs")
#: Number of steps whose costs are compared.
_STEPS = 8
#: Costs in thirds of an example gradient, by cell and hyperparameters; 0 if the costs of steps differ or are unknown.
_costs: dict[str, int] = {}


def is_counting(cell: Cell) -> bool:
    """Whether the optimizer receives a number of steps that depends on what its steps cost."""
    choice = cell.optimizer
    return (choice.needs_closure or choice.second_backward) and bool({*choice.from_run.values()} & {*COUNTED})


def measure_step_cost(cell: Cell, hyperparameters: Mapping[str, Any], make_stepper: Callable[[], Stepper]) -> int:
    """Returns the cost of every step in thirds of an example gradient, or 0 if the first steps have different costs.

    It is measured once per process, cell and hyperparameters, and not charged.

    Args:
        cell: The cell.
        hyperparameters: The hyperparameters; the learning rate is taken not to matter.
        make_stepper: Makes a new training without a limit.
    """
    others = {name: value for name, value in hyperparameters.items() if name != "lr"}
    key = f"{cell.id} {json.dumps(others, sort_keys=True, default=str)}"
    if key not in _costs:
        _costs[key] = 0  # for the trial itself
        _costs[key] = _measure(make_stepper)
    return _costs[key]


def _measure(make_stepper: Callable[[], Stepper]) -> int:
    costs = set()
    try:
        stepper = make_stepper()
        for _ in range(min(_STEPS, stepper.facts["steps"])):
            before = stepper.ledger.thirds
            stepper.step()
            costs.add(stepper.ledger.thirds - before)
    except Exception:  # the training itself reports it
        return 0
    return costs.pop() if len(costs) == 1 else 0
