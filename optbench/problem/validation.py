"""Validates the declaration of a problem as soon as it is constructed, before it is planned or checked.

Attributes whose computation may need numpy are not validated for built-in problems, so that planning does not import
numpy; the tests of these problems cover them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.budget import parse_budget
from optbench.errors import UserError, one_line
from optbench.problem.base import Problem, display_name
from optbench.problem.data import Plane


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _sequence_of(accepted: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Sequence) and not isinstance(value, str) and all(map(accepted, value))


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path)


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value))


def _is_plane(value: Any) -> bool:
    if not isinstance(value, Plane) or not (_is_pair(value.start) and _is_pair(value.minimum)):
        return False
    sides = value.domain
    return (
        isinstance(sides, Sequence) and len(sides) == 2 and all(_is_pair(side) and side[0] < side[1] for side in sides)
    )


def _has_shares(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(part, str) and _is_number(share) and 0 <= share <= 1 for part, share in value.items()
    )


_SWITCH = (lambda value: isinstance(value, bool), "True or False")
_DURATION = (lambda value: _is_number(value) and value >= 0, "a number of at least 0")
_COUNT = (_is_count, "a whole number of at least 1")

#: Accepted values of each attribute, as a function and in words.
_ACCEPTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, "a string"),
    "version": _COUNT,
    "later": (_sequence_of(_is_text), "names of parameters"),
    "kind": (lambda value: value in ("network", "quadratic", "function"), "'network', 'quadratic', 'function'"),
    "metric_name": (_is_text, "a string"),
    "metric_higher_is_better": _SWITCH,
    "batch_sizes": (_sequence_of(_is_count), "whole numbers of at least 1, as in (32, 128)"),
    "run_budget": (lambda value: isinstance(value, str), 'an amount, as in "2epochs"'),
    "channels_last": _SWITCH,
    "evaluation_batch": _COUNT,
    "chunk": (lambda value: value is None or _is_count(value), "a whole number of at least 1, or None"),
    "files": (lambda value: _is_path(value) or _sequence_of(_is_path)(value), "a path, or a list of paths"),
    "freezing": (_has_shares, "prefixes of parameter names, each with a share of 0 to 1"),
    "couples_examples": _SWITCH,
    "microseconds_per_example": _DURATION,
    "microseconds_per_step": _DURATION,
}
#: The methods that problems without `metric` have to define.
_AGGREGATING = ("predict", "score")
#: The same for computed attributes.
_COMPUTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "target": (lambda value: value is None or _is_number(value), "a finite number, or None"),
    "curvature": (lambda value: value is None or (_is_number(value) and value > 0), "a number above 0, or None"),
    "plane": (
        lambda value: value is None or _is_plane(value),
        "Plane(start=(x, y), minimum=(x, y), domain=((low, high), (low, high))), or None",
    ),
}


def check_declaration(problem: Problem) -> None:
    """Check the types and values of a problem's attributes and methods.

    Raises:
        UserError: If one has the wrong type or is out of range.
    """
    for method in _methods():
        if not callable(getattr(problem, method)) and (problem.aggregates or method not in _AGGREGATING):
            raise _invalid(problem, method, getattr(problem, method), "a method")
    if problem.aggregates and any(getattr(type(problem), name) is getattr(Problem, name) for name in _AGGREGATING):
        raise UserError(
            f"problem {display_name(problem)} has no metric: define metric(model, batch), or predict(model, batch) and "
            "score(predictions, batch) for a metric that is not a mean over examples"
        )
    _check(problem, _ACCEPTED)
    parse_budget(problem.run_budget)
    if not type(problem).__module__.startswith("optbench.problems."):
        _check(problem, _COMPUTED)


def _check(problem: Problem, rules: Mapping[str, tuple[Callable[[Any], bool], str]]) -> None:
    for what, (accepted, words) in rules.items():
        try:
            value = display_name(problem) if what == "name" and not hasattr(problem, "name") else getattr(problem, what)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"problem {display_name(problem)} failed to compute its {what}: {one_line(error)}"
            ) from error
        if not accepted(value):
            raise _invalid(problem, what, value, words)


def count_training_examples(problem: Problem) -> int:
    """Return the number of training examples of a problem.

    Raises:
        UserError: If the problem's `training_examples` fails or does not return a positive whole number.
    """
    try:
        count = problem.training_examples()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"problem {display_name(problem)} failed to compute its training_examples: {one_line(error)}"
        ) from error
    if not _is_count(count):
        raise _invalid(problem, "training_examples()", count, "a whole number of at least 1")
    return count


def _methods() -> Iterable[str]:
    return (name for name, value in vars(Problem).items() if callable(value) and not name.startswith("_"))


def _invalid(problem: Problem, what: str, value: Any, accepted: str) -> UserError:
    return UserError(f"problem {display_name(problem)} has {what} = {value!r} (accepted: {accepted})")
