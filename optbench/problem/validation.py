"""What the author of a problem says of it, looked at as soon as it is made: before it is planned or checked.

What may take numpy to compute isn't looked at in problems that come with optbench, which their tests know: their plans,
labels and identities come without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.budget import parse_budget
from optbench.errors import UserError, one_line
from optbench.problem.base import Problem, title
from optbench.problem.data import Plane


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _several(accepted: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Sequence) and not isinstance(value, str) and all(map(accepted, value))


def _path(value: Any) -> bool:
    return isinstance(value, str | Path)


def _pair(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(map(_number, value))


def _plane(value: Any) -> bool:
    if not isinstance(value, Plane) or not (_pair(value.start) and _pair(value.minimum)):
        return False
    sides = value.domain
    return isinstance(sides, Sequence) and len(sides) == 2 and all(_pair(side) and side[0] < side[1] for side in sides)


def _shares(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(part, str) and _number(share) and 0 <= share <= 1 for part, share in value.items()
    )


_SWITCH = (lambda value: isinstance(value, bool), "True or False")
_DURATION = (lambda value: _number(value) and value >= 0, "a number of at least 0")
_COUNT = (_whole, "a whole number of at least 1")

#: By attribute what is accepted, as a function and in words.
_ACCEPTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_text, "a text"),
    "version": _COUNT,
    "later": (_several(_text), "names of parameters"),
    "kind": (lambda value: value in ("network", "quadratic", "function"), "'network', 'quadratic', 'function'"),
    "metric_name": (_text, "a text"),
    "metric_higher_is_better": _SWITCH,
    "batch_sizes": (_several(_whole), "whole numbers of at least 1, as in (32, 128)"),
    "run_budget": (lambda value: isinstance(value, str), 'an amount, as in "2epochs"'),
    "channels_last": _SWITCH,
    "evaluation_batch": _COUNT,
    "chunk": (lambda value: value is None or _whole(value), "a whole number of at least 1, or None"),
    "files": (lambda value: _path(value) or _several(_path)(value), "a path, or a list of paths"),
    "freezing": (_shares, "beginnings of parameter names, each with a share of 0 to 1"),
    "couples_examples": _SWITCH,
    "microseconds_per_example": _DURATION,
    "microseconds_per_step": _DURATION,
}
#: The same of what is computed.
_COMPUTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "target": (lambda value: value is None or _number(value), "a finite number, or None"),
    "curvature": (lambda value: value is None or (_number(value) and value > 0), "a number above 0, or None"),
    "plane": (
        lambda value: value is None or _plane(value),
        "Plane(start=(x, y), minimum=(x, y), domain=((low, high), (low, high))), or None",
    ),
}


def check_declared(problem: Problem) -> None:
    """Raises UserError for an attribute of another type than it has to be, or out of range."""
    for method in _methods():
        if not callable(getattr(problem, method)):
            raise _wrong(problem, method, getattr(problem, method), "a method")
    _check(problem, _ACCEPTED)
    parse_budget(problem.run_budget)
    if not type(problem).__module__.startswith("optbench.problems."):
        _check(problem, _COMPUTED)


def _check(problem: Problem, rules: Mapping[str, tuple[Callable[[Any], bool], str]]) -> None:
    for what, (accepted, words) in rules.items():
        try:
            value = title(problem) if what == "name" and not hasattr(problem, "name") else getattr(problem, what)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"problem {title(problem)} fails to say its {what}: {one_line(error)}") from error
        if not accepted(value):
            raise _wrong(problem, what, value, words)


def training_examples(problem: Problem) -> int:
    """Training examples of a problem; raises UserError where it gives no such number."""
    try:
        found = problem.training_examples()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"problem {title(problem)} fails to say its training_examples: {one_line(error)}") from error
    if not _whole(found):
        raise _wrong(problem, "training_examples()", found, "a whole number of at least 1")
    return found


def _methods() -> Iterable[str]:
    return (name for name, value in vars(Problem).items() if callable(value) and not name.startswith("_"))


def _wrong(problem: Problem, what: str, value: Any, accepted: str) -> UserError:
    return UserError(f"problem {title(problem)} has {what} = {value!r} (accepted: {accepted})")
