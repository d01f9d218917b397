"""A cell's study in Optuna: rebuilt from its trials, with a sampler and a pruner seeded by the cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import optuna

from optbench.optimizers.search_space import Choices, Range, Space, active
from optbench.planning.matrix import Cell
from optbench.training.record import Observer, Training
from optbench.training.seeds import derive
from optbench.tuning.trial import Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)

_STATES = {
    "ok": optuna.trial.TrialState.COMPLETE,
    "diverged": optuna.trial.TrialState.COMPLETE,
    "error": optuna.trial.TrialState.COMPLETE,
    "oom": optuna.trial.TrialState.COMPLETE,
    "skipped": optuna.trial.TrialState.PRUNED,
}


def ask_trial(study: optuna.Study, space: Space) -> optuna.trial.Trial:
    """A new trial of the study, with a value of everything in the space that has a meaning beside the others.

    What has a condition is asked for after what that speaks of.
    """
    asked = study.ask({name: _distribution(found) for name, found in space.items() if not found.when})
    waiting = [name for name, found in space.items() if found.when]
    while waiting:
        ready = [name for name in waiting if not any(key in waiting for key, _ in space[name].when)]
        for name in ready:
            waiting.remove(name)
            if name in active({name: space[name]}, decode(space, asked.params)):
                _suggest(asked, name, space[name])
    return asked


def encode(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Optuna takes them: it knows no tuples, of which it gets the place in the list."""
    return {
        name: tried.values.index(value) if isinstance(tried := space[name], Choices) and tried.structured else value
        for name, value in values.items()
    }


def decode(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `encode`."""
    return {
        name: tried.values[value] if isinstance(tried := space[name], Choices) and tried.structured else value
        for name, value in values.items()
    }


def _categories(tried: Choices) -> tuple[Any, ...]:
    return tuple(range(len(tried.values))) if tried.structured else tried.values


def _suggest(asked: optuna.trial.Trial, name: str, found: Range | Choices) -> None:
    if isinstance(found, Choices):
        asked.suggest_categorical(name, _categories(found))
    elif found.whole:
        asked.suggest_int(name, math.ceil(found.low), math.floor(found.high), log=found.log)
    else:
        asked.suggest_float(name, found.low, found.high, log=found.log)


def _distribution(found: Range | Choices) -> optuna.distributions.BaseDistribution:
    if isinstance(found, Choices):
        return optuna.distributions.CategoricalDistribution(_categories(found))
    if found.whole:
        return optuna.distributions.IntDistribution(math.ceil(found.low), math.floor(found.high), log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def rebuild_study(cell: Cell, trials: Sequence[Trial], space: Space, number: int) -> optuna.Study:
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
        if inside and trial.status in _STATES and math.isfinite(trial.value):
            params = encode(space, {name: tried[name] for name in space if name in on})
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


def pruning_observer(
    cell: Cell, trials: Sequence[Trial], space: Space, hyperparameters: Mapping[str, Any], number: int
) -> Observer:
    """Stops a trial that does worse than those of earlier rounds; of its own round it knows nothing."""
    study = rebuild_study(cell, trials, space, number)
    study.enqueue_trial(encode(space, {key: value for key, value in hyperparameters.items() if key in space}))
    asked = ask_trial(study, space)

    def observe(training: Training) -> str:
        point = training.points[-1]
        asked.report(point.valid_loss, point.index)
        if asked.should_prune():
            return f"pruned ({cell.pruner}) after evaluation {point.index} of {cell.evaluations}"
        return ""

    return observe
