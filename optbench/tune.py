"""Tunes one cell: rounds of trials within a compute budget, proposed by an Optuna sampler or a fixed design.

The trials of a round are proposed together, so that they can be trained together. The trials on the
disk are the truth. The study is rebuilt from them before every round, with a sampler seeded by the
cell and the number of trials, so that an interrupted study goes on to the same numbers as an
uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
import optuna

from optbench.budget import THIRDS
from optbench.design import design_point, design_size
from optbench.matrix import Cell
from optbench.ranges import Choices, Range, Space, active
from optbench.seeds import derive, trial_seed
from optbench.training import DIVERGED_FACTOR, Observer, Training

optuna.logging.set_verbosity(optuna.logging.WARNING)

#: A best value within this share of a range's width from an edge is flagged.
EDGE = 0.05
#: Ranges are extended once this share of the tuning budget is spent, at most so often an edge.
EXTEND_AFTER = 0.5
EXTEND_AT_MOST = 3

_STATES = {
    "ok": optuna.trial.TrialState.COMPLETE,
    "diverged": optuna.trial.TrialState.COMPLETE,
    "skipped": optuna.trial.TrialState.PRUNED,
}


@dataclass(frozen=True)
class Trial:
    """A finished trial, as far as tuning needs it. Losses are validation losses, `loss` the mean that judges it
    (see `Training.judged`)."""

    number: int
    hyperparameters: dict[str, Any]
    status: str
    initial_loss: float
    loss: float
    thirds: int
    reports: dict[int, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The score that samplers see: always finite, a diverged trial worse than any other."""
        ceiling = self.initial_loss + (DIVERGED_FACTOR - 1) * abs(self.initial_loss)
        if not math.isfinite(ceiling):
            ceiling = float(np.finfo(np.float64).max)
        return min(self.loss, ceiling) if self.status == "ok" else ceiling


@dataclass(frozen=True)
class Proposal:
    """The next trial: its number, seed and hyperparameters, and what makes an observer that may stop it early."""

    number: int
    seed: int
    hyperparameters: dict[str, Any]
    observer: Callable[[], Observer] | None


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the lowest validation loss, as trials are judged; the earlier one of equals."""
    finished = [trial for trial in trials if trial.status == "ok" and math.isfinite(trial.loss)]
    return min(finished, key=lambda trial: (trial.loss, trial.number), default=None)


def edge_of(space: Space, trial: Trial | None, name: str = "lr") -> str:
    """`low` or `high` where the best value lies within 5 % of an edge of its range, or outside."""
    if trial is None or name not in space or name not in trial.hyperparameters:
        return ""
    position = space[name].position(trial.hyperparameters[name])
    return "low" if position < EDGE else "high" if position > 1 - EDGE else ""


def rounds(cell: Cell, trials: Sequence[Trial], run_cost: int) -> Iterator[tuple[int, int]]:
    """First trial and number of trials of each round that has begun; the last may be empty.

    A round has as many trials as the cell says, or as many as still fit whole into the tuning budget
    when it begins. What its diverged trials do not spend buys trials of later rounds.
    """
    start, latest = 0, 0
    while start <= len(trials):
        rest = cell.worth * run_cost * THIRDS - sum(trial.thirds for trial in trials[:start])
        size = min(cell.round, math.floor(rest / (run_cost * THIRDS)))
        if start and not any(trial.thirds for trial in trials[latest:start]):
            size = 0  # nowhere was even the start finite: further trials would be free, and so without end
        yield start, max(size, 0)
        if size <= 0:
            return
        start, latest = start + size, start


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
    known = _study(cell, earlier, space, study) if size else None
    proposals = []
    edge = _untried_edge(cell, earlier, space, run_cost) if size and start < design_size(cell) else None
    for number in range(start, start + size):
        values = {"lr": edge} if edge and number == start else _values(cell, number, space, known)
        if values is None:
            break
        pruned = cell.pruner != "none" and number > 0
        observer = partial(_pruning, cell, earlier, space, values, study) if pruned else None
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
        study.enqueue_trial({name: value for name, value in drawn.items() if name in on})
    return _asked(study, space).params


def _asked(study: optuna.Study, space: Space) -> optuna.trial.Trial:
    """A new trial of the study, with a value of everything in the space that has a meaning beside the others.

    What has a condition is asked for after what that speaks of.
    """
    asked = study.ask({name: _distribution(found) for name, found in space.items() if not found.when})
    waiting = [name for name, found in space.items() if found.when]
    while waiting:
        ready = [name for name in waiting if not any(key in waiting for key, _ in space[name].when)]
        for name in ready:
            waiting.remove(name)
            if name in active({name: space[name]}, asked.params):
                _suggested(asked, name, space[name])
    return asked


def _suggested(asked: optuna.trial.Trial, name: str, found: Range | Choices) -> None:
    if isinstance(found, Choices):
        asked.suggest_categorical(name, found.values)
    elif found.whole:
        asked.suggest_int(name, math.ceil(found.low), math.floor(found.high), log=found.log)
    else:
        asked.suggest_float(name, found.low, found.high, log=found.log)


def _distribution(found: Range | Choices) -> optuna.distributions.BaseDistribution:
    if isinstance(found, Choices):
        return optuna.distributions.CategoricalDistribution(found.values)
    if found.whole:
        return optuna.distributions.IntDistribution(math.ceil(found.low), math.floor(found.high), log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def _study(cell: Cell, trials: Sequence[Trial], space: Space, number: int) -> optuna.Study:
    """Study `number` as it knows these trials, with a sampler seeded by the cell, the number and theirs."""
    repeated = f"/study {number}" if number else ""
    seed = derive(f"{cell.id}/{len(trials)}{repeated}", "sampler") % 2**32
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
    if cell.sampler == "tpe":
        # Sees the other trials of the round as bad ones, and so keeps away from them.
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, constant_liar=True)
    elif cell.sampler == "gp":
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=1, deterministic_objective=False)
    study = optuna.create_study(sampler=sampler, pruner=_pruner(cell.pruner, cell.evaluations))
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: _distribution(found) for name, found in space.items()
    }
    for trial in trials:
        # A default outside of the range can't be told to the sampler; it still competes.
        tried, on = trial.hyperparameters, active(space, trial.hyperparameters)
        inside = all(name in tried and space[name].contains(tried[name]) for name in on)
        if inside and trial.status in _STATES:
            params = {name: tried[name] for name in space if name in on}
            study.add_trial(
                optuna.trial.create_trial(
                    params=params,
                    distributions={name: distributions[name] for name in params},
                    value=trial.value,
                    intermediate_values=trial.reports,
                    system_attrs=_rungs(cell.pruner, cell.evaluations, tuple(sorted(trial.reports.items()))),
                    state=_STATES[trial.status],
                )
            )
    return study


def _pruner(name: str, evaluations: int) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=max(1, evaluations // 5))
    if name == "successive-halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, evaluations // 8))
    return optuna.pruners.NopPruner()


@lru_cache(maxsize=4096)
def _rungs(pruner: str, evaluations: int, reports: tuple[tuple[int, float], ...]) -> dict[str, Any]:
    """What successive halving notes down of a trial while it runs, by letting it run once more.

    Remembered: the same trials are told to the study of every later round.
    """
    if pruner != "successive-halving":
        return {}
    replay = optuna.create_study(pruner=_pruner(pruner, evaluations))
    asked = replay.ask()
    for step, value in reports:
        asked.report(value, step)
        asked.should_prune()
    noted = replay.get_trials(deepcopy=False)[0].system_attrs
    return {key: value for key, value in noted.items() if key.startswith("completed_rung_")}


def _pruning(
    cell: Cell, trials: Sequence[Trial], space: Space, hyperparameters: Mapping[str, Any], number: int
) -> Observer:
    """Stops a trial that does worse than those of earlier rounds; of its own round it knows nothing."""
    study = _study(cell, trials, space, number)
    study.enqueue_trial(dict(hyperparameters))
    asked = _asked(study, space)

    def observe(training: Training) -> str:
        point = training.points[-1]
        asked.report(point.valid_loss, point.index)
        if asked.should_prune():
            return f"pruned ({cell.pruner}) after evaluation {point.index} of {cell.evaluations}"
        return ""

    return observe
