"""Hyperparameters that optbench adds to every optimizer: clipping of gradients and averaging of weights.

They are off by default (0). An optimizer whose constructor has an argument of the same name keeps that argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from optbench.errors import UserError, out_of_range
from optbench.optimizers.search_space import Choices, Range, Space
from optbench.selection import is_number

#: The added hyperparameters with their defaults: the largest global norm and the largest absolute value of gradients,
#: the decay of an exponential average of the weights, and the share at the end of a run whose weights are averaged.
ADDITIONS: dict[str, Any] = {"clip_norm": 0.0, "clip_value": 0.0, "average_decay": 0.0, "average_share": 0.0}
CLIPPING = ("clip_norm", "clip_value")
AVERAGING = ("average_decay", "average_share")

_ACCEPTED = {
    "clip_norm": "a number above 0",
    "clip_value": "a number above 0",
    "average_decay": "a number above 0 and below 1",
    "average_share": "a number above 0, at most 1",
}


def convert_addition(what: str, name: str, value: Any) -> float:
    """Convert a fixed value of an added hyperparameter to a number; `None`, which switches it off, becomes 0.

    An explicit 0 is refused, because it has two meanings: no clipping, and gradients that are clipped to 0.

    Args:
        what: Name of the setting, for error messages.
        name: One of `ADDITIONS`.
        value: The value.

    Raises:
        UserError: If the value is out of range.

    >>> convert_addition("sgd[clip_norm]", "clip_norm", 1)
    1.0
    """
    if value is None:
        return 0.0
    if not _is_valid(name, value):
        raise out_of_range(what, value, f"{_ACCEPTED[name]}; none switches it off")
    return float(value)


def convert_added_space(what: str, name: str, tried: Range | Choices) -> Range | Choices:
    """Check the search space of an added hyperparameter, in which 0 stands for off.

    Args:
        what: Name of the setting, for error messages.
        name: One of `ADDITIONS`.
        tried: The search space.

    Returns:
        The search space, with floats in a list.

    Raises:
        UserError: If it contains values that are out of range.
    """
    if isinstance(tried, Range):
        for bound in (tried.low, tried.high):
            if not _is_valid(name, bound):
                raise out_of_range(what, bound, f"bounds that are each {_ACCEPTED[name]}; zero = true adds 0, for off")
        return tried
    for value in tried.values:
        if not (is_number(value) and value == 0) and not _is_valid(name, value):
            raise out_of_range(what, value, f"values that are each {_ACCEPTED[name]}, or 0 for off")
    return replace(tried, values=tuple(map(float, tried.values)))


def check_compatible(owner: str, used: Iterable[str], averages: bool, values: Mapping[str, Any], space: Space) -> None:
    """Refuse additions that an optimizer can't be combined with.

    A line search compares losses with slopes, and a clipped gradient does not give the slope.

    Args:
        owner: The optimizer, for error messages.
        used: The additions that are fixed or searched.
        averages: Whether the optimizer averages its weights itself.
        values: The fixed values of its own arguments.
        space: The search space of its hyperparameters.

    Raises:
        UserError: If it averages weights, or searches along lines, itself.
    """
    names = sorted(used)
    if averages and (averaging := [name for name in names if name in AVERAGING]):
        raise averages_itself(owner, averaging[0])
    clipping = [name for name in names if name in CLIPPING]
    searching = [key for key, value in values.items() if "line_search" in key and value and key not in space]
    searching += [key for key, tried in space.items() if "line_search" in key and any(tried.bounds)]
    if clipping and searching:
        raise UserError(
            f"{owner} compares losses with slopes in its line search ({searching[0]}), so its gradients can't be "
            f"clipped with {clipping[0]} (accepted: no clipping, or {searching[0]}=none)"
        )


def averages_itself(owner: str, name: str) -> UserError:
    """Create the error for an optimizer that averages its weights itself and has the addition `name`."""
    return UserError(
        f"{owner} averages weights itself, so it can't be combined with {name} (accepted: no average_decay and no "
        "average_share)"
    )


def _is_valid(name: str, value: Any) -> bool:
    if not is_number(value) or value <= 0:
        return False
    return name in CLIPPING or value < 1 or (value == 1 and name == "average_share")
