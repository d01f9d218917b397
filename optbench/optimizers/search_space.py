"""What tuning may try for one hyperparameter: a range or a list of values, and under which condition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from optbench.errors import UserError, out_of_range

#: How far a range reaches beyond an edge at which the best value lies, in decades (see `tune`).
EXTENSION_DECADES = 1.0

#: Hyperparameters with the values at which another one has a meaning, as pairs so that it can be hashed.
Condition = tuple[tuple[str, tuple[Any, ...]], ...]


@dataclass(frozen=True)
class Range:
    """The values that tuning may try for one hyperparameter, on a logarithmic or linear scale.

    Raises UserError where there is none between the bounds, or a logarithmic scale reaches 0.
    """

    #: The bounds, in the hyperparameter's own unit; both may be tried.
    low: float
    #: See `low`.
    high: float
    #: Logarithmic, which needs bounds above 0; else linear.
    log: bool = True
    #: Whole numbers only.
    whole: bool = False
    #: Tried only where other hyperparameters have one of these values: see `condition`.
    when: Condition = ()

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not finite or not self.low < self.high or (self.log and self.low <= 0):
            accepted = "0 < low < high on a log scale" if self.log else "low < high"
            raise out_of_range("search range", (self.low, self.high), accepted)
        if self.whole and math.ceil(self.low) >= math.floor(self.high):
            raise out_of_range("search range", (self.low, self.high), "at least two whole numbers")

    def position(self, value: float) -> float:
        """Where a value lies between low (0) and high (1) on the range's scale."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def at(self, share: float) -> float:
        """The value at a position between low (0) and high (1): the inverse of `position`."""
        width = self.high / self.low if self.log else self.high - self.low
        value = float(self.low * width**share) if self.log else self.low + width * share
        return min(max(round(value), math.ceil(self.low)), math.floor(self.high)) if self.whole else value

    def contains(self, value: Any) -> bool:
        """Whether a value lies between the bounds."""
        return self.low <= value <= self.high

    def extended(self, edge: Literal["low", "high"]) -> Range:
        """A range on a logarithmic scale with a decade more beyond one edge."""
        factor = 10**EXTENSION_DECADES
        return replace(self, low=self.low / factor) if edge == "low" else replace(self, high=self.high * factor)

    @property
    def bounds(self) -> list[Any]:
        """Low and high, as plain JSON values."""
        return [self.low, self.high]

    def __str__(self) -> str:
        scale = "" if self.log else " linear"
        return f"{self.low:g} to {self.high:g}{scale}{_when(self.when)}"


@dataclass(frozen=True)
class Choices:
    """A few values of one hyperparameter, in no order: names of schedules, switches, numbers without a scale.

    Raises UserError for fewer than two different `values`.
    """

    values: tuple[Any, ...]
    #: Tried only where other hyperparameters have one of these values: see `condition`.
    when: Condition = ()

    def __post_init__(self) -> None:
        if len(set(self.values)) != len(self.values) or len(self.values) < 2:
            raise out_of_range("search values", self.values, "at least two different ones")

    @property
    def structured(self) -> bool:
        """Whether some of the values are tuples."""
        return any(isinstance(value, tuple) for value in self.values)

    def position(self, value: Any) -> float:
        """The middle of the value's share of 0 to 1; ValueError for one that isn't among them."""
        return (self.values.index(value) + 0.5) / len(self.values)

    def at(self, share: float) -> Any:
        """The value whose share of 0 to 1 this is in."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def contains(self, value: Any) -> bool:
        """Whether a value is among them."""
        return value in self.values

    @property
    def bounds(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def __str__(self) -> str:
        return f"{' or '.join(map(str, self.values))}{_when(self.when)}"


Space = Mapping[str, Range | Choices]


def condition(when: Mapping[str, Any]) -> Condition:
    """A condition from hyperparameters with the value, or a list of the values, that each must have."""
    return tuple((key, tuple(v) if isinstance(v, (list, tuple)) else (v,)) for key, v in sorted(when.items()))


def active(space: Space, values: Mapping[str, Any]) -> set[str]:
    """The names of a space that have a meaning, all hyperparameters being as in `values`.

    One that depends on another that has none itself has none.
    """
    found = {name for name, tried in space.items() if all(values.get(key) in of for key, of in tried.when)}
    while dropped := {n for n in found if any(key in space and key not in found for key, _ in space[n].when)}:
        found -= dropped
    return found


def check_conditions(owner: str, space: Space, known: Iterable[str]) -> None:
    """Raises UserError where a condition speaks of a hyperparameter that isn't there, or of itself in a circle."""
    from optbench.errors import unknown

    accepted = set(known)
    for name, tried in space.items():
        for key, _ in tried.when:
            if key not in accepted:
                raise unknown(f"hyperparameter in a condition of {owner}.{name}", key, accepted)
        reached, todo = set(), [name]
        while todo:
            for key, _ in space[todo.pop()].when:
                if key == name:
                    raise UserError(f"the condition of {owner}.{name} depends on itself")
                if key in space and key not in reached:
                    reached.add(key)
                    todo.append(key)


def plain(tried: Range | Choices) -> dict[str, Any]:
    """A range or list as it enters a cell's identity: without a condition where there is none."""
    found = asdict(tried)
    if not tried.when:
        del found["when"]
    return found


def _when(when: Condition) -> str:
    if not when:
        return ""
    return " where " + " and ".join(f"{key} is {' or '.join(map(str, values))}" for key, values in when)
