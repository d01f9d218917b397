"""Which learning rates a race has searched: those that were tried, of which none may lie at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from optbench.optimizers.search_space import Choices, Range
from optbench.planning.matrix import Cell
from optbench.tuning.trial import Trial, best_trial


def find_edge(cell: Cell, trials: Sequence[Trial]) -> str:
    """Returns `low` or `high` if no learning rate below or above the best one was tried, otherwise "".

    Args:
        cell: The cell.
        trials: The trials.
    """
    best = best_trial(trials)
    if best is None or not isinstance(cell.optimizer.search.get("lr"), Range) or "lr" not in best.hyperparameters:
        return ""
    rates = [float(trial.hyperparameters["lr"]) for trial in trials if "lr" in trial.hyperparameters]
    rate = float(best.hyperparameters["lr"])
    if len(set(rates)) < 2:
        return ""
    return "low" if rate <= min(rates) else "high" if rate >= max(rates) else ""


def searched_space(cell: Cell, trials: Sequence[Trial]) -> dict[str, Range | Choices]:
    """Returns the search space with the range of the learning rate extended to all rates that were tried.

    Args:
        cell: The cell.
        trials: The trials.
    """
    space = dict(cell.optimizer.search)
    rates = space.get("lr")
    tried = [float(trial.hyperparameters["lr"]) for trial in trials[1:] if "lr" in trial.hyperparameters]
    if isinstance(rates, Range) and tried:
        space["lr"] = replace(rates, low=min(rates.low, *tried), high=max(rates.high, *tried))
    return space
