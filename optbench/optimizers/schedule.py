"""Learning-rate schedules, as factors of the tuned rate over the fraction of the budget spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from optbench import selection
from optbench.errors import UserError, out_of_range, unknown

Schedule = Callable[[float], float]

#: Each maps progress in [0, 1] to a factor; `linear` and `cosine` end at zero.
_SHAPES: dict[str, Schedule] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}

NAMES = (*_SHAPES, "step")


def schedule(text: str) -> Schedule:
    """The schedule that a selection such as `cosine[warmup=0.05]` names.

    `warmup` is the fraction of the budget over which the factor first rises linearly from 0 to 1; the shape has the
    rest. `step[at=(0.5,0.75),factor=0.1]` multiplies by `factor` at each of the fractions `at` of what the shape has
    (He et al. 2016, section 4.2). Cosine: Loshchilov and Hutter (2017), equation 5 without restarts.
    """
    chosen = selection.parse(text)
    if len(chosen) != 1:
        raise UserError(f"schedule {text!r} sweeps; give each schedule by itself")
    name, parameters = chosen[0].name, dict(chosen[0].parameters)
    if name not in NAMES:
        raise unknown("schedule", name, NAMES)
    warmup = parameters.pop("warmup", 0.0)
    shape = _steps(parameters) if name == "step" else _SHAPES[name]
    if parameters:
        accepted = ["warmup", *(("at", "factor") if name == "step" else ())]
        raise unknown(f"parameter of schedule {name}", next(iter(parameters)), accepted)
    if not _is_number(warmup) or not 0 <= warmup < 1:
        raise out_of_range(f"{name}[warmup]", warmup, "a fraction from 0 up to, not including, 1")

    def factor(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        return shape((progress - warmup) / (1.0 - warmup))

    return factor


def shaped(hyperparameters: Mapping[str, Any]) -> Schedule:
    """The schedule of an optimizer's own hyperparameters: the shape `lr_schedule`, as `schedule` takes it, after a
    rise over the fraction `lr_warmup` of the budget. Raises UserError as `schedule` does.
    """
    text = str(hyperparameters["lr_schedule"] or "constant")
    chosen, warmup = selection.parse(text), hyperparameters["lr_warmup"]
    if len(chosen) != 1 or "warmup" in dict(chosen[0].parameters):
        raise UserError(f"lr_schedule = {text!r} is no single shape; lr_warmup gives the warm-up")
    return schedule(str(replace(chosen[0], parameters=(*chosen[0].parameters, ("warmup", warmup)))))


def _steps(parameters: dict[str, Any]) -> Schedule:
    """The shape of `step`, whose parameters are taken out of `parameters`."""
    at, factor = parameters.pop("at", (0.5, 0.75)), parameters.pop("factor", 0.1)
    fractions = at if isinstance(at, tuple) else (at,)
    if not fractions or not all(_is_number(fraction) and 0 < fraction < 1 for fraction in fractions):
        raise out_of_range("step[at]", at, "fractions between 0 and 1, as in (0.5,0.75)")
    if not _is_number(factor) or not 0 < factor <= 1:
        raise out_of_range("step[factor]", factor, "above 0, at most 1")
    return lambda progress: factor ** sum(progress >= fraction for fraction in fractions)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
