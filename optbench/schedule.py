"""Learning-rate schedules, as factors of the tuned rate over the fraction of the budget spent."""

from __future__ import annotations

import math
from collections.abc import Callable

from optbench import selection
from optbench.errors import UserError, out_of_range, unknown

Schedule = Callable[[float], float]

#: Each maps progress in [0, 1] to a factor; all but `constant` end at zero.
_SHAPES: dict[str, Schedule] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}

NAMES = tuple(_SHAPES)


def schedule(text: str) -> Schedule:
    """The schedule that a selection such as `cosine[warmup=0.05]` names.

    `warmup` is the fraction of the budget over which the factor first rises linearly from 0 to 1.
    Cosine: Loshchilov and Hutter (2017), equation 5 without restarts.
    """
    chosen = selection.parse(text)
    if len(chosen) != 1:
        raise UserError(f"schedule {text!r} sweeps; give each schedule by itself")
    name, parameters = chosen[0].name, dict(chosen[0].parameters)
    if name not in _SHAPES:
        raise unknown("schedule", name, _SHAPES)
    warmup = parameters.pop("warmup", 0.0)
    if parameters:
        raise unknown(f"parameter of schedule {name}", next(iter(parameters)), ["warmup"])
    if isinstance(warmup, bool) or not isinstance(warmup, (int, float)) or not 0 <= warmup < 1:
        raise out_of_range(f"{name}[warmup]", warmup, "a fraction from 0 up to, not including, 1")
    shape = _SHAPES[name]

    def factor(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        return shape((progress - warmup) / (1.0 - warmup))

    return factor
