"""Rounds of tuning trials within a compute budget, proposed by a fixed design or an Optuna sampler.

The trials of a round are proposed together, so that they can be trained together. The Optuna study is rebuilt before
every round from the stored trials, with a sampler whose seed is derived from the cell and the number of trials. So an
interrupted tuning gives the same results as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import optuna

from optbench.budget import THIRDS
from optbench.optimizers.points import Point, may_repeat, point_of
from optbench.optimizers.search_space import Choices, Range, Space
from optbench.planning.matrix import Cell
from optbench.training.seeds import derive, trial_seed
from optbench.tuning.design import design_point, design_size
from optbench.tuning.study import ask_trial, decode, encode, pruning_observer, rebuild_study
from optbench.tuning.trial import Proposal, Trial, best_trial, edge_of
from optbench.tuning.untried import ask_untried, count_points

optuna.logging.set_verbosity(optuna.logging.WARNING)

#: The range of the learning rate is extended after this fraction of the tuning budget, at most 3 times per edge.
EXTEND_AFTER = 0.5
EXTEND_AT_MOST = 3


def rounds(cell: Cell, trials: Sequence[Trial], run_cost: int) -> Iterator[tuple[int, int]]:
    """Yields the rounds that have begun, each as the number of its first trial and its number of trials.

    A round has `cell.round` trials, or fewer if no more complete trainings fit into the rest of the tuning budget. What
    diverged trials do not spend is available for later rounds. The last round is empty if the tuning is complete.

    Args:
        cell: The cell.
        trials: The finished trials.
        run_cost: Cost of one training in example gradients.
    """
    start, latest = 0, 0
    while start <= len(trials):
        rest = cell.worth * run_cost * THIRDS - sum(_price(trial, run_cost) for trial in trials[:start])
        size = min(cell.round, math.floor(rest / (run_cost * THIRDS)))
        if start and not any(trial.thirds for trial in trials[latest:start]):
            size = 0  # every trial of the last round started with a non-finite loss; further ones would cost nothing
        yield start, max(size, 0)
        if size <= 0:
            return
        start, latest = start + size, start


def _price(trial: Trial, run_cost: int) -> int:
    """Return the thirds of the tuning budget that a trial uses up: those of a complete run, unless it ended early.

    Steps that do not divide the budget leave a rest of every run, which must not buy further trials. A trial that
    raised an error costs next to nothing, and would buy others without end.
    """
    return run_cost * THIRDS if trial.status in ("ok", "error", "oom") else trial.thirds


def extend_space(cell: Cell, trials: Sequence[Trial], run_cost: int) -> dict[str, Range | Choices]:
    """Returns the search space of the current round, in which the range of the learning rate may be extended.

    Once half of the tuning budget is spent, the range of the learning rate is extended before each further round if
    the best learning rate so far is at an edge. The trials in the extended range are paid from the same budget. Other
    ranges are not extended, because values beyond them may be invalid (a momentum above 1). A grid is not extended,
    because all its points have to be in the same range.

    Args:
        cell: The cell, whose optimizer declares the initial search space.
        trials: The finished trials.
        run_cost: Cost of one training in example gradients.
    """
    space = dict(cell.optimizer.search)
    extensions: dict[str, int] = {}
    rate = space.get("lr")
    if cell.sampler == "grid" or not isinstance(rate, Range) or not rate.log:
        return space  # a linear range can't be extended below zero
    half = EXTEND_AFTER * cell.worth * run_cost * THIRDS
    for start, size in rounds(cell, trials, run_cost):
        earlier = trials[:start]
        if not size or sum(trial.thirds for trial in earlier) < half:
            continue
        edge = edge_of(space, best_trial(earlier))
        if edge and extensions.get(edge, 0) < EXTEND_AT_MOST:
            space["lr"] = rate = rate.extended(edge)  # type: ignore[arg-type]
            extensions[edge] = extensions.get(edge, 0) + 1
    return space


def next_round(cell: Cell, trials: Sequence[Trial], run_cost: int, study: int = 0) -> list[Proposal]:
    """Proposes the trials of the current round that are not finished.

    Trial 0 is the optimizer's default. The result depends only on the arguments, so an interrupted round is proposed
    again in the same way.

    Args:
        cell: The cell.
        trials: The finished trials.
        run_cost: Cost of one training in example gradients.
        study: Number of the tuning, 0 for the first; repeated ones use other seeds for trainings and sampler.

    Returns:
        The proposals; empty if no complete training fits into the budget, or if all points were tried.
    """
    start, size = list(rounds(cell, trials, run_cost))[-1]
    earlier, space = trials[:start], extend_space(cell, trials, run_cost)
    optuna_study = rebuild_study(cell, earlier, space, study) if size else None
    # A learning rate that is fixed while other hyperparameters are tuned.
    fixed = {name: value for name, value in cell.optimizer.defaults.items() if name not in cell.optimizer.search}
    # Only in some spaces can a point be proposed again; the others need no list.
    tried = {point_of(space, trial.hyperparameters) for trial in earlier} if may_repeat(space) else None
    proposals = []
    edge = _find_untried_edge(cell, earlier, space, run_cost) if size and start < design_size(cell) else None
    for number in range(start, start + size):
        if edge and number == start:
            values: dict[str, Any] | None = {"lr": edge}
        else:
            values = _propose_values(cell, number, space, optuna_study, tried, study)
        if values is None:
            break
        if tried is not None:
            tried.add(point_of(space, values))
        values = {**fixed, **values}
        pruned = cell.pruner != "none" and number > 0
        observer = partial(pruning_observer, cell, earlier, space, values, study) if pruned else None
        proposals.append(Proposal(number, trial_seed(0, study), values, observer))
    return proposals[len(trials) - start :]


def _find_untried_edge(cell: Cell, trials: Sequence[Trial], space: Space, run_cost: int) -> float | None:
    """Returns the edge of the learning rate's range next to the best rate, if no rate closer to this edge was tried.

    The points of the design are not at the edges, but the range is extended only if the best rate is at an edge. So
    once half of the tuning budget is spent, one trial of the design is replaced by this edge.
    """
    best = best_trial(trials)
    if list(space) != ["lr"] or cell.sampler == "grid" or best is None or "lr" not in best.hyperparameters:
        return None
    if sum(trial.thirds for trial in trials) < EXTEND_AFTER * cell.worth * run_cost * THIRDS:
        return None
    tried = [float(trial.hyperparameters["lr"]) for trial in trials]
    low, high = space["lr"].bounds
    for edge, outermost in ((high, max(tried)), (low, min(tried))):
        if best.hyperparameters["lr"] == outermost and not edge_of(space, best):
            return float(edge)
    return None


def describe_exhaustion(cell: Cell, trials: Sequence[Trial], run_cost: int) -> str:
    """Returns a remark if the tuning has tried all points of a finite search space with budget left, otherwise "".

    Args:
        cell: The cell.
        trials: All trials of a tuning.
        run_cost: Cost of one training in example gradients.
    """
    if not cell.tuned:
        return ""
    space = cell.optimizer.search
    tried = {point_of(space, trial.hyperparameters) for trial in trials}
    count = count_points(space, tried)
    if cell.pruner == "race":
        whole = max(run_cost - run_cost % cell.batch_size, 1)
        left = cell.worth * whole * THIRDS - sum(trial.thirds for trial in trials)
        # What is left after all points were tried buys further seeds for the best two.
        complete = len(tried) < len(trials) or left < whole * THIRDS
    else:
        start, size = list(rounds(cell, trials, run_cost))[-1]
        complete = start + size <= len(trials)
    if not count or complete:
        return ""
    return (
        f"the search space has {count} points, and tuning tried each of them once: it ended after {len(trials)} "
        f"trials, although its budget is worth {cell.worth:g}"
    )


def _propose_values(
    cell: Cell, number: int, space: Space, study: optuna.Study | None, tried: set[Point] | None, studies: int
) -> dict[str, Any] | None:
    """Returns the hyperparameters of a trial: the default, a point of the design, or a proposal of the sampler.

    Points of the design are also passed to the study, so that the sampler proposes others. Returns None at the end of a
    grid, and if all points were tried.
    """
    if number == 0:
        return dict(cell.optimizer.defaults)
    point = design_point(cell, number, space)
    if point is None and cell.sampler == "grid":
        return None
    assert study is not None
    if point is not None:
        chosen = point_of(
            space, {name: space[name].at(share) for name, share in zip(sorted(space), point, strict=True)}
        )
        if tried is None or chosen not in tried:
            study.enqueue_trial(encode(space, dict(chosen)))
            return decode(space, ask_trial(study, space).params)
    if tried is not None:
        random = np.random.default_rng(derive(f"{cell.id}/{number}/study {studies}", "untried"))
        return ask_untried(study, space, tried, random)
    return decode(space, ask_trial(study, space).params)
