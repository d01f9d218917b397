"""Learning-rate schedules: factors on the tuned learning rate as functions of the fraction of the budget spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from optbench import selection
from optbench.errors import UserError, out_of_range, unknown

Schedule = Callable[[float], float]

#: Each shape maps the progress in [0, 1] to a factor; `linear` and `cosine` end at zero.
_SHAPES: dict[str, Schedule] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}

NAMES = (*_SHAPES, "step")


def parse_schedule(text: str) -> Schedule:
    """Parse a schedule such as `cosine[warmup=0.05]`.

    During the first `warmup` fraction of the budget, the factor rises linearly from 0 to 1. The shape covers the rest.
    With progress p in [0, 1] over that rest, the factors are 1 (`constant`), 1 − p (`linear`) and ½ (1 + cos πp)
    (`cosine`; Loshchilov and Hutter 2017, equation 5 without restarts). `step[at=(0.5,0.75),factor=0.1]` multiplies by
    `factor` each time that p reaches a fraction in `at` (He et al. 2016, section 4.2).

    Args:
        text: The schedule in the selection grammar.

    Returns:
        A function that maps the fraction of the budget spent, in [0, 1], to the factor.

    Raises:
        UserError: If the schedule or one of its parameters is unknown or out of range, or if the text is a sweep.
    """
    chosen = selection.parse(text)
    if len(chosen) != 1:
        raise UserError(f"schedule {text!r} is a sweep (accepted: a single schedule; list several separately)")
    name, parameters = chosen[0].name, dict(chosen[0].parameters)
    if name not in NAMES:
        raise unknown("schedule", name, NAMES)
    warmup = parameters.pop("warmup", 0.0)
    shape = _steps(parameters) if name == "step" else _SHAPES[name]
    if parameters:
        accepted = ["warmup", *(("at", "factor") if name == "step" else ())]
        raise unknown(f"parameter of schedule {name}", next(iter(parameters)), accepted)
    if not _is_number(warmup) or not 0 <= warmup < 1:
        raise out_of_range(f"{name}[warmup]", warmup, "a fraction of at least 0 and less than 1")

    def factor(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        return shape((progress - warmup) / (1.0 - warmup))

    return factor


def optimizer_schedule(hyperparameters: Mapping[str, Any]) -> Schedule:
    """Return the schedule that an optimizer's hyperparameters `lr_schedule` (shape) and `lr_warmup` (fraction) define.

    Raises:
        UserError: If they do not define a valid schedule (see `parse_schedule`).
    """
    text = str(hyperparameters["lr_schedule"] or "constant")
    chosen, warmup = selection.parse(text), hyperparameters["lr_warmup"]
    if len(chosen) != 1 or "warmup" in dict(chosen[0].parameters):
        raise UserError(f"lr_schedule = {text!r} is not a single shape without warm-up (set lr_warmup instead)")
    return parse_schedule(str(replace(chosen[0], parameters=(*chosen[0].parameters, ("warmup", warmup)))))


def _steps(parameters: dict[str, Any]) -> Schedule:
    """The shape of `step`; its parameters are removed from `parameters`."""
    at, factor = parameters.pop("at", (0.5, 0.75)), parameters.pop("factor", 0.1)
    fractions = at if isinstance(at, tuple) else (at,)
    if not fractions or not all(_is_number(fraction) and 0 < fraction < 1 for fraction in fractions):
        raise out_of_range("step[at]", at, "fractions between 0 and 1, as in (0.5,0.75)")
    if not _is_number(factor) or not 0 < factor <= 1:
        raise out_of_range("step[factor]", factor, "above 0, at most 1")
    return lambda progress: factor ** sum(progress >= fraction for fraction in fractions)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
