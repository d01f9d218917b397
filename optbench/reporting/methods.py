"""The protocol in words, with the settings of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from optbench.errors import UserError
from optbench.formatting import in_words
from optbench.optimizers.schedule import parse_schedule

#: The tuning budget from which on a race trains its best points on further seeds (`tuning.race`, which needs torch).
_SECOND_SEED_FROM = 6.0


def methods(settings: Mapping[str, Any], rank_by: str, runs: pd.DataFrame) -> list[str]:
    """The protocol as one paragraph per rule.

    `settings` is a parsed configuration, possibly empty; `rank_by` is the column by which the page ranks; `runs` is the
    frame of runs, which shows what was requested of the optimizers.
    """
    tuning = settings.get("tuning", {})
    seeds = int(runs["seed"].nunique())
    worth = f"{tuning['worth']:g} run budgets" if "worth" in tuning else "a fixed number of run budgets"
    tuned = f" and the same budget for tuning ({worth})" if tuning.get("worth", 1) else ""
    return [
        f"Equal compute. On each problem, every optimizer has the same budget for a run{tuned}, at every batch size. "
        "The unit is the example gradient: a forward and a backward pass on one example count 1, a forward pass alone "
        "counts 1/3. Every pass that an optimizer needs is charged, including line searches and trials that diverged "
        "or were stopped. Evaluation is not charged.",
        f"Tuning. {_describe_tuning(tuning)}",
        "Selection on validation, report on test. The validation set is split off the training set by a fixed seed"
        + (", and trials are compared by their validation loss" if tuning.get("worth", 1) else "")
        + ". The test set is evaluated once, after the last step "
        "of a final run.",
        f"Fresh seeds. Final runs use {seeds} seed{'s' * (seeds != 1)} that no trial has used. "
        "They are the same for all optimizers, so that "
        "initial weights and the order of the data are equal and differences can be paired.",
        f"Ranks. Within one problem, batch size, device and schedule, optimizers are ranked by the median over seeds "
        f"of the {rank_by.replace('_', ' ')}; ties share the better rank. A failed seed counts as worse than any "
        "number, and an optimizer whose median falls on a failed seed ranks last. A target that a seed misses counts "
        "as reached at infinite cost. The median rank is taken over the tasks on which the optimizer was run.",
        "Divergence. Training ends when the loss or a parameter is no longer finite, or when the loss stays far above "
        "its initial value. The compute spent until then stays charged.",
        "Evaluation happens at points fixed in cost and is not timed. Times per step come from a separate pass during "
        "which nothing else of the run is active.",
        _regularisation(runs),
    ]


#: What samplers propose after the first trial, and whether the range may be extended.
_SAMPLERS = {
    "tpe": "The next ones follow a design that is the same for all optimizers, and then the TPE sampler proposes them.",
    "gp": "The next ones follow a design that is the same for all optimizers, and then the Gaussian-process sampler "
    "proposes them.",
    "random": "The next ones are independent random points.",
    "quasi-random": "The next ones are the points of a quasi-random (Halton) sequence.",
    "grid": "The next ones are the points of a grid over the range, which is not extended.",
}
_PRUNERS = {
    "median": "A trial whose validation loss is worse than the median of earlier trials at the same point is stopped.",
    "successive-halving": "Trials are stopped at certain points if they are not among the best (successive halving).",
}


def _describe_tuning(tuning: Mapping[str, Any]) -> str:
    """How hyperparameters are tuned, by the settings `[tuning]` of a configuration."""
    if not tuning.get("worth", 1):
        return "Nothing was tuned: every optimizer runs at its default or given hyperparameters."
    sampler, pruner = tuning.get("sampler", "tpe"), tuning.get("pruner", "none")
    texts = [
        "The learning rate is searched over a range that belongs to the optimizer and to the kind of problem, together "
        "with the other hyperparameters of its search space, if it has any."
    ]
    if pruner == "race":
        name = {"tpe": "TPE", "gp": "Gaussian-process"}.get(sampler, sampler)
        texts.append(
            "Trials race: many points, the default among them, get a short part of their run, and the best ones are "
            "continued. Later stages try new points, between the best one and its neighbours or where the "
            f"{name} sampler proposes them."
        )
        if tuning.get("worth", 0) >= _SECOND_SEED_FROM:
            texts.append(
                "All points are compared on the same seed, and the two best ones are also trained on further seeds and "
                "compared by their means; no final run has any of these seeds."
            )
        else:
            texts.append("All trials of a tuning have the same seed, which no final run has.")
    else:
        texts.append("The first trial uses the optimizer's default values.")
        texts.append(_SAMPLERS.get(sampler, f"The {sampler} sampler proposes the next ones."))
        texts.append("A trial starts only if the budget covers a whole run.")
        texts += [_PRUNERS[pruner]] if pruner in _PRUNERS else []
        texts += ["If the best learning rate is near an edge, the range is extended."] if sampler != "grid" else []
    if tuning.get("studies", 1) > 1:
        texts.append(f"The tuning is repeated {tuning['studies']} times; the first one decides.")
    return " ".join(texts)


def _regularisation(runs: pd.DataFrame) -> str:
    """Weight decay, clipping, averages and schedules, with the optimizers for which they were requested."""
    decays = list(dict.fromkeys([*_requested(runs, "weight_decay"), *_requested(runs, "decay_per_step")]))
    clips = _requested(runs, "clip")
    clips = [f"{name}{_amounts(runs, name, _CLIPPING)}" for name in clips]
    averages = [f"{name}{_amounts(runs, name, _AVERAGING)}" for name in _requested(runs, "average_")]
    averaged = f", except for averages of {in_words(averages)}" if averages else ""
    return " ".join([
        f"Weight decay is 0{f', except for {in_words(decays)}' if decays else ''}.",
        f"Gradients are not clipped{f', except by {in_words(clips)}' if clips else ''}.",
        *_describe_rates(runs),
        f"Evaluations use the weights of the optimizer{averaged}.",
    ])  # fmt: skip


def _describe_rates(runs: pd.DataFrame) -> list[str]:
    """How the learning rate changes in the course of a run: by a schedule of the cell, or of the optimizer."""
    own = list(dict.fromkeys([*_requested(runs, "lr_schedule"), *_requested(runs, "lr_warmup")]))
    schedules = [str(name) for name in runs["schedule"].unique() if name != "constant"]
    constant = "constant" in set(runs["schedule"]) or not schedules
    rate = (
        "The learning rate is constant" if constant else f"The learning rate follows the schedule {in_words(schedules)}"
    )
    if constant and schedules:
        rate += f", or follows the schedule {in_words(schedules)} where it is named"
    sentences = [f"{rate}{f'; with a schedule of their own: {in_words(own)}' if own else ''}."]
    described, counted = [], False
    for name in schedules:
        with suppress(UserError):  # a schedule of another version
            schedule = parse_schedule(name)
            described.append(f"{name} is {schedule.describe()}")
            counted |= bool(schedule.counted)
    sentences += [f"{'; '.join(described)}."] if described else []
    sentences += ["A step of a schedule is the gradient of one batch."] if counted else []
    return sentences


#: What the values of added hyperparameters mean.
_CLIPPING = {"hp_clip_value": "each coordinate at most {}", "hp_clip_norm": "global norm at most {}"}
_AVERAGING = {"hp_average_decay": "exponential with decay {}", "hp_average_share": "over the last {} of the run"}


def _amounts(runs: pd.DataFrame, optimizer: str, meanings: Mapping[str, str]) -> str:
    """The values of added hyperparameters in the runs of an optimizer, in parentheses; "" if it has others alone."""
    texts = []
    for column, meaning in meanings.items():
        if column not in runs:
            continue
        values = pd.to_numeric(runs.loc[runs["optimizer"] == optimizer, column], errors="coerce").fillna(0.0)
        if (used := values[values > 0]).empty:
            continue
        bounds = [f"{value:.3g}" for value in sorted({used.min(), used.max()})]
        part = "" if len(used) == len(values) else f", in {len(used)} of {len(values)} runs"
        texts.append(meaning.format(" to ".join(bounds)) + part)
    return f" ({'; '.join(texts)})" if texts else ""


def _requested(runs: pd.DataFrame, word: str) -> list[str]:
    """The optimizers that have a hyperparameter with this word in its name that is neither missing nor zero."""
    names = [name for name in runs.columns if name.startswith("hp_") and word in name]
    given = pd.Series(False, index=runs.index)
    for name in names:
        given |= runs[name].notna() & ~runs[name].astype(str).isin(
            ["0", "0.0", "False", "", "none", "None", "constant"]
        )
    return [str(name) for name in runs.loc[given, "optimizer"].unique()]
