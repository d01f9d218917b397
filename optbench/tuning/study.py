"""The Optuna study of a cell: rebuilt from its trials, with a sampler and a pruner that are seeded by the cell."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import optuna

from optbench.optimizers.search_space import Choices, Range, Space, active_hyperparameters
from optbench.planning.matrix import Cell
from optbench.training.record import Observer, Training
from optbench.training.seeds import derive
from optbench.tuning.trial import Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)
# Optuna repeats at each proposal what a note of the plan says once (see `optimizer_choice.describe_conditions`).
logging.getLogger("optuna.samplers._gp.sampler").addFilter(
    lambda record: "is sampled independently" not in record.getMessage()
)

_STATES = {
    "ok": optuna.trial.TrialState.COMPLETE,
    "diverged": optuna.trial.TrialState.COMPLETE,
    "error": optuna.trial.TrialState.COMPLETE,
    "oom": optuna.trial.TrialState.COMPLETE,
    "skipped": optuna.trial.TrialState.PRUNED,
    "paused": optuna.trial.TrialState.PRUNED,
}


def ask_trial(study: optuna.Study, space: Space) -> optuna.trial.Trial:
    """Asks a study for a new trial, with a value for each hyperparameter that is active.

    A hyperparameter with a condition is asked for after those in its condition.

    Args:
        study: The study.
        space: The search space.

    Returns:
        The trial; its attribute `params` contains the values.
    """
    trial = study.ask({name: _distribution(values) for name, values in space.items() if not values.when})
    waiting = [name for name, values in space.items() if values.when]
    while waiting:
        ready = [name for name in waiting if not any(key in waiting for key, _ in space[name].when)]
        for name in ready:
            waiting.remove(name)
            if name in active_hyperparameters({name: space[name]}, decode(space, trial.params)):
                _suggest(trial, name, space[name])
    return trial


def encode(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Converts values for Optuna, which has no tuples, no ranges with a separate 0 and no scale of 1 − value.

    Of a list with tuples it gets the index, and of a range with `zero` or `complement` the position on its axis.

    Args:
        space: The search space.
        values: Values of some of its hyperparameters.
    """
    return {name: _encode_value(space[name], value) for name, value in values.items()}


def _encode_value(tried: Range | Choices, value: Any) -> Any:
    if isinstance(tried, Choices):
        return tried.values.index(value) if tried.structured else value
    return tried.position(value) if tried.zero or tried.complement else value


def decode(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Reverses `encode`.

    Args:
        space: The search space.
        values: Values as Optuna has them.
    """
    return {name: _decode_value(space[name], value) for name, value in values.items()}


def _decode_value(tried: Range | Choices, value: Any) -> Any:
    if isinstance(tried, Choices):
        return tried.values[value] if tried.structured else value
    return tried.at(value) if tried.zero or tried.complement else value


def _categories(choices: Choices) -> tuple[Any, ...]:
    return tuple(range(len(choices.values))) if choices.structured else choices.values


def _suggest(trial: optuna.trial.Trial, name: str, values: Range | Choices) -> None:
    if isinstance(values, Choices):
        trial.suggest_categorical(name, _categories(values))
    elif values.zero or values.complement:
        trial.suggest_float(name, 0.0, 1.0)
    elif values.whole:
        trial.suggest_int(name, math.ceil(values.low), math.floor(values.high), log=values.log)
    else:
        trial.suggest_float(name, values.low, values.high, log=values.log)


def _distribution(values: Range | Choices) -> optuna.distributions.BaseDistribution:
    if isinstance(values, Choices):
        return optuna.distributions.CategoricalDistribution(_categories(values))
    if values.zero or values.complement:
        return optuna.distributions.FloatDistribution(0.0, 1.0)
    if values.whole:
        return optuna.distributions.IntDistribution(math.ceil(values.low), math.floor(values.high), log=values.log)
    return optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)


def rebuild_study(cell: Cell, trials: Sequence[Trial], space: Space, number: int) -> optuna.Study:
    """Rebuilds a study from finished trials.

    Args:
        cell: The cell, which gives sampler and pruner.
        trials: The finished trials.
        space: The search space.
        number: Number of the tuning, 0 for the first. The sampler's seed is derived from the cell, this number and the
            number of trials.
    """
    repeated = f"/study {number}" if number else ""
    seed = derive(f"{cell.id}/{len(trials)}{repeated}", "sampler") % 2**32
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
    if cell.sampler == "tpe":
        # constant_liar: unfinished trials of the round count as bad ones, so that the proposals differ.
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, constant_liar=True)
    elif cell.sampler == "gp":
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=1, deterministic_objective=False)
    study = optuna.create_study(sampler=sampler, pruner=_pruner(cell.pruner, cell.evaluations))
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: _distribution(values) for name, values in space.items()
    }
    states = _STATES
    if cell.sampler == "gp" and not any(trial.status == "ok" for trial in trials):
        # A Gaussian process sees complete trials only. Before a race has any, those trained longest are comparable.
        longest = max((trial.until for trial in trials if trial.status == "paused"), default=0)
        trials = [trial for trial in trials if trial.status != "paused" or trial.until == longest]
        states = {**_STATES, "paused": optuna.trial.TrialState.COMPLETE}
    for trial in trials:
        # The sampler can't learn from a default outside the range, which still competes for the best trial.
        values, on = trial.hyperparameters, active_hyperparameters(space, trial.hyperparameters)
        inside = all(name in values and space[name].contains(values[name]) for name in on)
        if inside and trial.status in states and math.isfinite(trial.value):
            params = encode(space, {name: values[name] for name in space if name in on})
            study.add_trial(
                optuna.trial.create_trial(
                    params=params,
                    distributions={name: distributions[name] for name in params},
                    value=trial.value,
                    intermediate_values=trial.reports,
                    system_attrs=_rungs(cell.pruner, cell.evaluations, tuple(sorted(trial.reports.items()))),
                    state=states[trial.status],
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
    """Returns the attributes that successive halving stores in a trial, by replaying the trial's reports.

    The result is cached, because the same trials are added to the study of every later round.
    """
    if pruner != "successive-halving":
        return {}
    replay = optuna.create_study(pruner=_pruner(pruner, evaluations))
    trial = replay.ask()
    for step, value in reports:
        trial.report(value, step)
        trial.should_prune()
    attributes = replay.get_trials(deepcopy=False)[0].system_attrs
    return {key: value for key, value in attributes.items() if key.startswith("completed_rung_")}


def pruning_observer(
    cell: Cell, trials: Sequence[Trial], space: Space, hyperparameters: Mapping[str, Any], number: int
) -> Observer:
    """Makes an observer that stops a trial if it is worse than the trials of earlier rounds.

    Args:
        cell: The cell, which gives the pruner.
        trials: The trials of earlier rounds.
        space: The search space.
        hyperparameters: The trial's hyperparameters.
        number: Number of the tuning, 0 for the first.
    """
    study = rebuild_study(cell, trials, space, number)
    study.enqueue_trial(encode(space, {name: value for name, value in hyperparameters.items() if name in space}))
    trial = ask_trial(study, space)

    def observe(training: Training) -> str:
        point = training.points[-1]
        trial.report(point.valid_loss, point.index)
        if trial.should_prune():
            return f"pruned ({cell.pruner}) after evaluation {point.index} of {cell.evaluations}"
        return ""

    return observe
