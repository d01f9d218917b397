"""Tunes one cell: rounds of trials within a compute budget, proposed by an Optuna sampler or a fixed design.

The trials of a round are proposed together, so that they can be trained together. The trials on the
disk are the truth. The study is rebuilt from them before every round, with a sampler seeded by the
cell and the number of trials, so that an interrupted study goes on to the same numbers as an
uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import optuna

from optbench.budget import THIRDS
from optbench.optimizers.search_space import Choices, Range, Space, active
from optbench.planning.matrix import Cell
from optbench.training.seeds import trial_seed
from optbench.tuning.design import design_point, design_size
from optbench.tuning.study import ask_trial, decode, encode, pruning_observer, rebuild_study
from optbench.tuning.trial import Proposal, Trial, best_trial, edge_of

optuna.logging.set_verbosity(optuna.logging.WARNING)

#: Ranges are extended once this share of the tuning budget is spent, at most so often an edge.
EXTEND_AFTER = 0.5
EXTEND_AT_MOST = 3


def rounds(cell: Cell, trials: Sequence[Trial], run_cost: int) -> Iterator[tuple[int, int]]:
    """First trial and number of trials of each round that has begun; the last may be empty.

    A round has as many trials as the cell says, or as many as still fit whole into the tuning budget
    when it begins. What its diverged trials do not spend buys trials of later rounds.
    """
    start, latest = 0, 0
    while start <= len(trials):
        rest = cell.worth * run_cost * THIRDS - sum(_price(trial, cell, run_cost) for trial in trials[:start])
        size = min(cell.round, math.floor(rest / (run_cost * THIRDS)))
        if start and not any(trial.thirds for trial in trials[latest:start]):
            size = 0  # nowhere was even the start finite: further trials would be free, and so without end
        yield start, max(size, 0)
        if size <= 0:
            return
        start, latest = start + size, start


def _price(trial: Trial, cell: Cell, run_cost: int) -> int:
    """Thirds of the tuning budget that a trial takes: a whole run's, unless it ended early.

    A batch that doesn't divide the budget leaves a rest of every run, which would buy further trials.
    """
    whole = run_cost - run_cost % cell.batch_size
    return run_cost * THIRDS if trial.thirds >= whole * THIRDS else trial.thirds


def searched_space(cell: Cell, trials: Sequence[Trial], run_cost: int) -> dict[str, Range | Choices]:
    """The ranges from which the trials of the last round that has begun are proposed.

    Starts as declared. Once half of the tuning budget is spent, each further round finds the learning
    rate's range extended if the best rate so far lies at its edge; that is paid from the same budget.
    Other hyperparameters stay in their ranges: beyond them they may have no meaning (a momentum above 1).
    A grid stays the declared one: a part of it over another range would be none.
    """
    space = dict(cell.optimizer.search)
    extensions: dict[str, int] = {}
    rate = space.get("lr")
    if cell.sampler == "grid" or not isinstance(rate, Range) or not rate.log:
        return space  # below a linear range lie rates of zero and less
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
    """The trials of the present round that are not done; none where no whole training fits the budget.

    Trial 0 is the optimizer's default. A pure function of the cell, the trials of the rounds before, and `study`, the
    number of the tuning if it is repeated (with other seeds of trainings and sampler):
    a round that was interrupted is proposed again as it was.
    """
    start, size = list(rounds(cell, trials, run_cost))[-1]
    earlier, space = trials[:start], searched_space(cell, trials, run_cost)
    known = rebuild_study(cell, earlier, space, study) if size else None
    # A rate that is fixed while others are searched is every trial's.
    fixed = {name: value for name, value in cell.optimizer.defaults.items() if name not in cell.optimizer.search}
    proposals = []
    edge = _untried_edge(cell, earlier, space, run_cost) if size and start < design_size(cell) else None
    for number in range(start, start + size):
        values = {"lr": edge} if edge and number == start else _values(cell, number, space, known)
        if values is None:
            break
        values = {**fixed, **values}
        pruned = cell.pruner != "none" and number > 0
        observer = partial(pruning_observer, cell, earlier, space, values, study) if pruned else None
        proposals.append(Proposal(number, trial_seed(number, study), values, observer))
    return proposals[len(trials) - start :]


def _untried_edge(cell: Cell, trials: Sequence[Trial], space: Space, run_cost: int) -> float | None:
    """The edge of the rate's range towards which the best rate is the outermost that was tried.

    The design keeps away from the edges, at which it is found out whether the range has to be extended. So
    once half of the tuning budget is spent, it gives way to an edge beyond which it would never look.
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


def _values(cell: Cell, number: int, space: Space, study: optuna.Study | None) -> dict[str, Any] | None:
    """The hyperparameters of a trial: the default, a point of the design, or the sampler's; None at a grid's end.

    The study learns of all that are under way, so that it proposes others.
    """
    if number == 0:
        return dict(cell.optimizer.defaults)
    point = design_point(cell, number, space)
    if point is None and cell.sampler == "grid":
        return None
    assert study is not None
    if point is not None:
        drawn = {name: space[name].at(share) for name, share in zip(sorted(space), point, strict=True)}
        on = active(space, drawn)
        study.enqueue_trial(encode(space, {name: value for name, value in drawn.items() if name in on}))
    return decode(space, ask_trial(study, space).params)
