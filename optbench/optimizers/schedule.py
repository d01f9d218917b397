"""Learning-rate schedules: factors on the tuned learning rate as functions of the fraction of the budget spent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from optbench import selection
from optbench.budget import Ledger
from optbench.errors import UserError, out_of_range, unknown
from optbench.optimizers.schedule_shapes import EXPONENTIAL_END, SHAPES, Length, cycle_ends, is_steps, parameters_of
from optbench.selection import Selection, format_value, is_number

NAMES = tuple(SHAPES)

#: Parameters of schedules by the hyperparameter of optimizers that sets them. Adagrad has a `lr_decay` of its own.
PARAMETERS = {"lr_warmup": "warmup", "lr_cooldown": "decay", "lr_final": "final"}

#: Those that are lengths, and may be in steps.
LENGTHS = ("lr_warmup", "lr_cooldown")


class NoEffect(UserError):
    """A hyperparameter, `key`, that does nothing with the shape of the schedule."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Schedule:
    """A warm-up and a shape with its parameters.

    With p the fraction of the run that is spent and w the length of the warm-up, the factor is p/w below w, and then
    that of the shape at x = (p − w)/(1 − w). It depends on nothing else, so it is that of the whole run in a training
    that pauses.
    """

    text: str
    name: str
    warmup: Length
    parameters: Mapping[str, Any]

    def __call__(self, progress: float, step: float = 0.0) -> float:
        """Return the factor of the learning rate.

        Args:
            progress: The fraction of the run that is spent, in [0, 1].
            step: The length of a step as a fraction of the run; used if a length is in steps.
        """
        warmup = _share(self.warmup, step)
        if progress < warmup or warmup >= 1:
            return progress / warmup
        rest, shape, values = 1.0 - warmup, SHAPES[self.name], dict(self.parameters)
        for key, parameter in shape.parameters.items():
            if parameter.length:
                length = max(warmup, step) if values[key] is None else _share(values[key], step)
                values[key] = length / rest
        return shape.factor((progress - warmup) / rest, **values)

    def next_factor(self, ledger: Ledger, batch_size: int) -> float:
        """Return the factor for the next step of a training, taken at the step's middle.

        Args:
            ledger: The ledger of the training.
            batch_size: Number of examples per step.
        """
        progress, step = ledger.spent_share(batch_size / 2), batch_size / ledger.length
        # Steps that are only timed can go beyond the end, where the rate may be 0, which a line search can't bear.
        return self(progress if progress < 1 else max(0.5, 1 - step / 2), step)

    @property
    def counted(self) -> list[str]:
        """The parameters that are given in steps."""
        values, known = {"warmup": self.warmup, **self.parameters}, parameters_of(self.name)
        return [key for key, value in values.items() if known[key].length and is_steps(value)]

    @property
    def knows_length(self) -> bool:
        """Whether the rate at a step depends on the length of the run, so that its end has to be known before.

        A warm-up and a time scale in steps do not depend on it; those that are a share of the run do.
        """
        shape = SHAPES[self.name]
        if shape.ends_with_run and not (self.name == "step" and self.parameters["factor"] == 1):
            return True
        lengths = [self.warmup, *(self.parameters[key] for key, known in shape.parameters.items() if known.length)]
        return any(length and not is_steps(length) for length in lengths)

    def check_length(self, steps: float = math.inf, run: str = "the run") -> None:
        """Check that warm-up, decay and cycles fit into a run.

        Args:
            steps: Length of the run in steps. If it is infinite, only shares are checked.
            run: The run in words.

        Raises:
            UserError: If warm-up and decay are longer than the run, or a cycle is shorter than a step.
        """
        parts = {"warmup": self.warmup, **{key: self.parameters[key] for key in ("decay",) if key in self.parameters}}
        shares = [_share(length, 1 / steps) for length in parts.values()]
        # Shares such as 0.7 and 0.3 may exceed 1 by rounding.
        if shares[0] < 1 and sum(shares) <= 1 + 1e-9:
            if self.name == "restarts" and steps < math.inf:
                self._check_cycles((1 - shares[0]) * steps, run)
            return
        given = " and ".join(f"{key} = {format_value(length)}" for key, length in parts.items() if length)
        size = f" of {steps:,.6g} steps" if steps < math.inf else ""
        raise UserError(
            f"schedule {self.text}: {given} {'are together' if ' and ' in given else 'is'} longer than {run}{size} "
            "(accepted: a warm-up shorter than the run, and a decay that begins after it)"
        )

    def _check_cycles(self, steps: float, run: str) -> None:
        """Check that the first cycle, the shortest one, has a step, in `steps` steps after the warm-up."""
        cycles, factor = self.parameters["cycles"], self.parameters["factor"]
        first = steps * cycle_ends(cycles, factor)[0]
        if first >= 1 - 1e-9:
            return
        fitting = [fewer for fewer in range(2, cycles) if steps * cycle_ends(fewer, factor)[0] >= 1 - 1e-9]
        after = " after the warm-up" if self.warmup else ""
        accepted = f"at most {fitting[-1]} cycles with factor = {factor:g}" if fitting else "a longer run"
        raise UserError(
            f"schedule {self.text}: the first of its cycles has {first:.3g} steps, because {run} has {steps:,.6g} "
            f"steps{after} (accepted: cycles of at least one step, so {accepted})"
        )

    def describe(self) -> str:
        """Return the schedule in words."""
        shape = SHAPES[self.name]
        words = {
            key: _length_in_words(value) if shape.parameters[key].length else _in_words(value)
            for key, value in self.parameters.items()
        }
        if self.name == "inverse_sqrt" and self.parameters["timescale"] is None:
            words["timescale"] = "the warm-up's length" if self.warmup else "one step"
        if self.name == "wsd" and self.parameters["final"] is None:
            words["final"] = _in_words(EXPONENTIAL_END if self.parameters["shape"] == "exponential" else 0)
        before = (
            f"a linear warm-up over the first {_length_in_words(self.warmup)} of the run, then " if self.warmup else ""
        )
        return before + shape.words.format(**words)


@lru_cache(maxsize=256)
def parse_schedule(text: str) -> Schedule:
    """Parse a schedule such as `cosine[warmup=0.05]`.

    During `warmup`, a fraction of the budget or a number of steps, the factor rises linearly from 0 to 1. The shape
    covers the rest; `SHAPES` has the equations.

    Args:
        text: The schedule in the selection grammar.

    Returns:
        A function that maps the fraction of the budget spent, in [0, 1], to the factor.

    Raises:
        UserError: If the schedule or one of its parameters is unknown or out of range, if warm-up and decay together
            exceed the run, or if the text is a sweep.

    >>> schedule = parse_schedule("wsd[decay=0.5,warmup=0.25]")
    >>> [schedule(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0, 1.0, 1.0, 0.5, 0.0]
    """
    chosen = _parse_single(text)
    name, given = chosen.name, dict(chosen.parameters)
    known = parameters_of(name)
    for key, value in given.items():
        if key not in known:
            raise unknown(f"parameter of schedule {name}", key, known)
        if known[key].names and value not in known[key].names:
            raise unknown(f"{key} of schedule {name}", value, known[key].names)
        if not known[key].accepts(value):
            raise out_of_range(f"{name}[{key}]", value, known[key].accepted)
    if given.get("shape") == "exponential" and given.get("final") == 0:
        raise out_of_range(f"{name}[final]", given["final"], "above 0 and less than 1 with shape = exponential")
    values = {key: parameter.default for key, parameter in known.items()} | given
    schedule = Schedule(str(chosen), name, values.pop("warmup"), values)
    schedule.check_length()
    return schedule


def optimizer_schedule(hyperparameters: Mapping[str, Any]) -> Schedule:
    """Return the schedule that an optimizer's hyperparameters define.

    Args:
        hyperparameters: Those that are set: `lr_schedule` (the shape; default: constant), and `lr_warmup`,
            `lr_cooldown` and `lr_final`, the shape's parameters `warmup`, `decay` and `final`.

    Raises:
        UserError: If they do not define a valid schedule (see `parse_schedule`).
    """
    text = str(hyperparameters.get("lr_schedule") or "constant")
    try:
        chosen = _parse_single(text)
    except UserError as error:
        raise UserError(f"lr_schedule = {text!r} is not a single shape without warm-up: {error}") from None
    written = dict(chosen.parameters)
    if "warmup" in written:
        raise UserError(f"lr_schedule = {text!r} is not a single shape without warm-up (set lr_warmup instead)")
    given = {parameter: key for key, parameter in PARAMETERS.items() if key in hyperparameters}
    for parameter, key in given.items():
        if parameter in written:
            raise UserError(f"{parameter} is given twice: in lr_schedule = {text!r}, and as {key}")
        if parameter not in parameters_of(chosen.name):
            shapes = [name for name in SHAPES if parameter in parameters_of(name)]
            raise NoEffect(key, f"{key} has no effect with lr_schedule = {text!r} (accepted with: {', '.join(shapes)})")
    added = tuple((parameter, hyperparameters[key]) for parameter, key in given.items())
    return parse_schedule(str(replace(chosen, parameters=(*chosen.parameters, *added))))


def convert_parameter(what: str, key: str, value: Any) -> Length:
    """Convert the value of a hyperparameter in `PARAMETERS`: an int is a number of steps, a float a share or a factor.

    Raises:
        UserError: If the value is not accepted.
    """
    parameter = next(found[PARAMETERS[key]] for name in SHAPES if PARAMETERS[key] in (found := parameters_of(name)))
    if not parameter.accepts(value):
        raise out_of_range(what, value, parameter.accepted)
    return int(value) if parameter.length and is_steps(value) else float(value)


def _parse_single(text: str) -> Selection:
    chosen = selection.parse(text)
    if len(chosen) != 1:
        raise UserError(f"schedule {text!r} is a sweep (accepted: a single schedule; list several separately)")
    if chosen[0].name not in SHAPES:
        raise unknown("schedule", chosen[0].name, NAMES)
    return chosen[0]


def _share(length: Length, step: float) -> float:
    """A length as a fraction of the run."""
    return length * step if isinstance(length, int) else length


def _length_in_words(length: Length | None) -> str:
    if isinstance(length, int):
        return f"{length} step{'s' * (length != 1)}"
    return "" if length is None else f"{100 * length:g} %"


def _in_words(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_in_words, value))
    return f"{value:g}" if is_number(value) else str(value)
