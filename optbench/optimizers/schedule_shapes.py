"""The shapes of learning-rate schedules: one table with equations, parameters and sources."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

from optbench.selection import is_number

#: A part of a run: a share of it (a float), or a number of steps (an int). A step is the gradient of one batch.
Length = int | float

#: Where an exponential decay ends by default. It never reaches 0.
EXPONENTIAL_END = 0.1


@dataclass(frozen=True)
class Parameter:
    """A parameter of a schedule: its default, and the values that it accepts, as a test and in words, or as names."""

    default: Any
    accepts: Callable[[Any], bool] = lambda value: True
    accepted: str = ""
    names: Collection[str] = ()
    #: Whether it is a length, given as a share of the run or in steps.
    length: bool = False


@dataclass(frozen=True)
class Shape:
    """What a schedule does after its warm-up.

    `factor(x, **parameters)` is the factor at progress x, which rises from 0 to 1 between the end of the warm-up and
    the end of the run; lengths are in units of x. `rule` is its equation. `words` is a format string that describes it
    with the values of its parameters. `ends_with_run` says whether the factor depends on x itself, and not only on the
    time since the warm-up in units of a length.
    """

    factor: Callable[..., float]
    rule: str
    words: str
    source: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    ends_with_run: bool = True


#: Curves from 1 to `final` for progress x from 0 to 1.
FALLS: dict[str, Callable[[float, float], float]] = {
    "linear": lambda x, final: final + (1.0 - final) * (1.0 - x),
    "cosine": lambda x, final: final + (1.0 - final) * (0.5 * (1.0 + math.cos(math.pi * x))),
    "sqrt": lambda x, final: final + (1.0 - final) * (1.0 - math.sqrt(x)),
    "square": lambda x, final: final + (1.0 - final) * (1.0 - x * x),
    "exponential": lambda x, final: final**x,
}


def _wsd(x: float, decay: float, shape: str, final: float | None) -> float:
    if final is None:
        final = EXPONENTIAL_END if shape == "exponential" else 0.0
    place = 1.0 - (1.0 - x) / decay
    return FALLS[shape](place, final) if place > 0 else 1.0


def _steps(x: float, at: Any, factor: float) -> float:
    return float(factor ** sum(x >= place for place in _places(at)))


def _restarts(x: float, cycles: int, factor: float, final: float) -> float:
    ends = cycle_ends(cycles, factor)
    cycle = min(bisect_right(ends, x), cycles - 1)
    start = ends[cycle - 1] if cycle else 0.0
    return FALLS["cosine"]((x - start) / (ends[cycle] - start), final)


@lru_cache(maxsize=64)
def cycle_ends(cycles: int, factor: float) -> tuple[float, ...]:
    """Returns where the cycles of `restarts` end, as shares of what follows the warm-up.

    Args:
        cycles: Number of cycles.
        factor: The length of a cycle divided by that of the one before.
    """
    ends = list(accumulate(factor**number for number in range(cycles)))
    return tuple(end / ends[-1] for end in ends)


def _places(at: Any) -> tuple[Any, ...]:
    return at if isinstance(at, tuple) else (at,)


def is_steps(value: Any) -> bool:
    """Whether a length is a number of steps."""
    return type(value) is int and value >= 1


def _is_length(value: Any) -> bool:
    return is_steps(value) or (is_number(value) and 0 < value <= 1)


WARMUP = Parameter(
    default=0.0,
    accepts=lambda value: is_steps(value) or (is_number(value) and 0 <= value < 1),
    accepted="a fraction of at least 0 and less than 1, or a whole number of steps from 1",
    length=True,
)
_LENGTH = "a fraction above 0 and at most 1, or a whole number of steps from 1"
_DECAY = Parameter(0.2, _is_length, _LENGTH, length=True)
_FINAL = Parameter(0.0, lambda value: is_number(value) and 0 <= value < 1, "a factor of at least 0 and less than 1")

SHAPES: dict[str, Shape] = {
    "constant": Shape(lambda x: 1.0, "1", "a constant rate", ends_with_run=False),
    "linear": Shape(
        FALLS["linear"],
        "final + (1 − final)(1 − x)",
        "a linear decay to {final}",
        parameters={"final": _FINAL},
    ),
    "cosine": Shape(
        FALLS["cosine"],
        "final + (1 − final) ½ (1 + cos πx)",
        "a cosine decay to {final}",
        "Loshchilov and Hutter (2017), SGDR, equation 5 without restarts",
        {"final": _FINAL},
    ),
    "step": Shape(
        _steps,
        "factor^n, where x has reached n of the fractions `at`",
        "multiplied by {factor} at {at}",
        "He et al. (2016), section 4.2",
        {
            "at": Parameter(
                (0.5, 0.75),
                lambda at: bool(_places(at)) and all(is_number(place) and 0 < place < 1 for place in _places(at)),
                "fractions between 0 and 1, as in (0.5,0.75)",
            ),
            "factor": Parameter(0.1, lambda value: is_number(value) and 0 < value <= 1, "above 0, at most 1"),
        },
    ),
    "wsd": Shape(
        _wsd,
        "1, and over the last `decay` of the run final + (1 − final) f(c), where c rises from 0 to 1 and f is 1 − c "
        "(linear), ½ (1 + cos πc) (cosine), 1 − √c (sqrt) or 1 − c² (square); exponential: final^c. `final` is 0, or "
        f"{EXPONENTIAL_END} for exponential, which never reaches 0",
        "a constant rate, and over the last {decay} of the run a decay of shape {shape} to {final}",
        "Hu et al. (2024), MiniCPM; shapes of the decay: Hägele et al. (2024)",
        {
            "decay": _DECAY,
            "shape": Parameter("linear", names=FALLS.keys()),
            "final": replace(_FINAL, default=None),
        },
    ),
    "inverse_sqrt": Shape(
        lambda x, timescale: math.sqrt(timescale / (timescale + x)),
        "1 / √(1 + x / timescale), where `timescale` is by default the length of the warm-up, or one step without it",
        "a decay by 1/√(1 + t/τ), with a time scale τ of {timescale}",
        "Vaswani et al. (2017), equation 3; time scale: Zhai et al. (2022), Scaling Vision Transformers",
        {"timescale": Parameter(None, _is_length, _LENGTH, length=True)},
        ends_with_run=False,
    ),
    "restarts": Shape(
        _restarts,
        "final + (1 − final) ½ (1 + cos πc), where c rises from 0 to 1 in each of the `cycles`, each of which is "
        "`factor` times as long as the one before",
        "{cycles} cosine decays to {final}, each {factor} times as long as the one before",
        "Loshchilov and Hutter (2017), SGDR, equation 5",
        {
            "cycles": Parameter(
                3, lambda value: type(value) is int and 2 <= value <= 100, "a whole number from 2 to 100"
            ),
            "factor": Parameter(2.0, lambda value: is_number(value) and 1 <= value <= 10, "a number from 1 to 10"),
            "final": _FINAL,
        },
    ),
}


def parameters_of(name: str) -> dict[str, Parameter]:
    """All parameters of a schedule; the warm-up is the last one."""
    return {**SHAPES[name].parameters, "warmup": WARMUP}
