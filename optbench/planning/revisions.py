"""Words in a cell's identity, by which cells that were stored before a change of the computation are computed again.

A word is in the identity only if the change concerns the cell, so that all others keep their ids.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optbench.optimizers.points import may_repeat
from optbench.planning.execution import choose_execution

if TYPE_CHECKING:
    from optbench.planning.execution import StepTraits
    from optbench.planning.matrix import Cell

#: The words that concern a cell's optimizer, not the settings that compared cells share.
OPTIMIZER_WORDS = ("steps", "tried", "inactive", "executed", "stacked", "scheduled")


def revisions(cell: Cell) -> dict[str, str]:
    """Return the words for the changes that concern a cell."""
    words = {
        # Each trial had a seed of its own.
        ("seeded", "one seed"): cell.tuned and cell.pruner != "race",
        # The best points of a race were not trained on a second seed.
        ("raced", "two seeds"): cell.tuned and cell.pruner == "race",
        # Later stages of a race tried random points instead of the next ones of the sequence.
        ("proposed", "halton sequence"): cell.tuned and cell.pruner == "race" and cell.sampler == "quasi-random",
        # Trials were bought with what a batch left of each run.
        ("priced", "whole runs"): _leaves_trials(cell),
        # Likewise, of what steps of several gradients left.
        ("steps", "priced as whole runs"): cell.tuned and _has_dear_steps(cell),
        # Points were tried and paid for again.
        ("tried", "each point once"): cell.tuned and may_repeat(cell.optimizer.search),
        # A hyperparameter whose condition was not met had the value from which its tuning starts.
        ("inactive", "without value"): cell.tuned and cell.optimizer.fixed != cell.optimizer.arguments,
        # Hyperparameters that are otherwise tuned were fixed, and replicas were therefore stacked.
        ("executed", "by its search space"): _was_stacked(cell),
        # Tensors of a few elements alone decided whether replicas could be stacked.
        ("stacked", "compared on the model"): _may_depend_on_size(cell),
        # Populations multiplied learning rates that an own optimizer set itself under a schedule.
        ("scheduled", "overwritten"): cell.optimizer.own and cell.schedule != "constant",
    }
    return {name: word for (name, word), concerned in words.items() if concerned}


def _leaves_trials(cell: Cell) -> bool:
    if not cell.tuned or cell.run_budget.unit == "seconds" or cell.run_cost < cell.batch_size:
        return False
    cost, size = cell.run_cost, cell.batch_size
    whole = cost - cost % size
    if cell.worth * cost // whole > cell.worth // 1:
        return True
    if cell.pruner == "race":  # it has prices of its own
        return False
    # Trials that ended early, after some steps, may have left what almost bought `number` trials more.
    rest = (cell.worth - 1) * cost
    early = ((number, (rest - number * whole) // size) for number in range(1, int(cell.worth)))
    return any(steps >= 1 and rest - steps * size < number * cost for number, steps in early)


def _has_dear_steps(cell: Cell) -> bool:
    return cell.optimizer.needs_closure or cell.optimizer.second_backward


def _was_stacked(cell: Cell) -> bool:
    traits, searched = cell.optimizer.step, frozenset(cell.optimizer.search)
    if traits.searched <= searched | {"lr"}:
        return False
    return _is_stacked(cell, replace(traits, searched=searched))


def _may_depend_on_size(cell: Cell) -> bool:
    return cell.optimizer.has_own_code and _is_stacked(cell, cell.optimizer.step)


def _is_stacked(cell: Cell, traits: StepTraits) -> bool:
    return choose_execution(cell.problem.make(), traits, cell.device, cell.batch_size).name == "population"
