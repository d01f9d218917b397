"""Search spaces: for each tuned hyperparameter a range or a list of values, optionally with a condition."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from optbench.errors import UserError, out_of_range

#: Decades by which tuning extends a range if the best value is at its edge.
EXTENSION_DECADES = 1.0
#: The first part of the axis from 0 to 1, which stands for the value 0 of a range with `zero`.
ZERO_SHARE = 0.25

#: The values of other hyperparameters for which a hyperparameter is active; as pairs, so that it is hashable.
Condition = tuple[tuple[str, tuple[Any, ...]], ...]


@dataclass(frozen=True)
class Range:
    """The range of values that tuning tries for one hyperparameter, on a logarithmic or linear scale.

    A logarithmic range can't contain 0. With `zero`, the value 0 is tried in addition:
    `Range(1e-4, 1.0, zero=True)` stands for {0} ∪ [1e-4, 1].

    For values just below 1, such as momentum, the scale may be logarithmic in 1 − value:
    `Range(0.5, 0.999, log=False, complement=True)` has 0.9776 in its middle, as 1 − value goes from 0.5 to 0.001.

    Raises UserError if the range is empty, if a logarithmic range includes 0, or if one in 1 − value includes 1.
    """

    #: Lower bound, inclusive.
    low: float
    #: Upper bound, inclusive.
    high: float
    #: Whether the scale is logarithmic, which needs bounds above 0, or linear.
    log: bool = True
    #: Whether only whole numbers are tried.
    whole: bool = False
    #: The condition on other hyperparameters under which this one is tried (see `make_condition`).
    when: Condition = ()
    #: Whether 0 is tried in addition to a range that begins above 0.
    zero: bool = False
    #: Whether the scale is logarithmic in 1 − value, instead of `log`.
    complement: bool = False

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if self.complement and (not finite or not self.low < self.high < 1 or self.log or self.zero or self.whole):
            accepted = "low < high < 1 on a scale that is logarithmic in 1 − value, without zero = true"
            raise out_of_range("search range", (self.low, self.high), accepted)
        if not finite or not self.low < self.high or ((self.log or self.zero) and self.low <= 0):
            accepted = "0 < low < high on a log scale" if self.log else "low < high"
            if self.low <= 0 < self.high and self.log:
                accepted += "; zero = true tries 0 in addition to such a range"
            elif self.zero:
                accepted = "0 < low < high with zero = true"
            raise out_of_range("search range", (self.low, self.high), accepted)
        if self.whole and math.ceil(self.low) >= math.floor(self.high):
            raise out_of_range("search range", (self.low, self.high), "at least two whole numbers")

    def position(self, value: float) -> float:
        """Return the position of a value between `low` (0) and `high` (1), on the range's scale.

        With `zero`, the first quarter of the axis stands for 0, and the range has the rest.
        """
        if self.zero and value == 0:
            return ZERO_SHARE / 2
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        elif self.complement:
            share = math.log((1 - value) / (1 - self.low)) / math.log((1 - self.high) / (1 - self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return ZERO_SHARE + (1 - ZERO_SHARE) * share if self.zero else share

    def at(self, share: float) -> float:
        """Return the value at a position `share` between `low` (0) and `high` (1): the inverse of `position`."""
        if self.zero:
            if share <= ZERO_SHARE:
                return 0 if self.whole else 0.0
            share = (share - ZERO_SHARE) / (1 - ZERO_SHARE)
        if self.complement:
            value = 1 - (1 - self.low) * ((1 - self.high) / (1 - self.low)) ** share
            return min(max(value, self.low), self.high)  # rounding
        width = self.high / self.low if self.log else self.high - self.low
        value = float(self.low * width**share) if self.log else self.low + width * share
        return min(max(round(value), math.ceil(self.low)), math.floor(self.high)) if self.whole else value

    def grid(self, size: int) -> list[float]:
        """Return the positions of `size` evenly spread values; 0 is the first of them with `zero`."""
        if self.zero and size > 1:
            rest = (1 - ZERO_SHARE) / (size - 1)
            return [ZERO_SHARE / 2, *(ZERO_SHARE + rest * (place + 0.5) for place in range(size - 1))]
        return _centres(size)

    def contains(self, value: Any) -> bool:
        """Whether a value is between the bounds, or 0 with `zero`."""
        return self.low <= value <= self.high or (self.zero and value == 0)

    @property
    def continuous(self) -> bool:
        """Whether a sampler hardly ever proposes a value twice: no whole numbers, and no 0 in addition."""
        return not (self.whole or self.zero)

    def extended(self, edge: Literal["low", "high"]) -> Range:
        """Return this logarithmic range, extended by one decade at one edge."""
        factor = 10**EXTENSION_DECADES
        return replace(self, low=self.low / factor) if edge == "low" else replace(self, high=self.high * factor)

    def scaled(self, factor: float) -> Range:
        """Return this range with both bounds multiplied by a factor."""
        return replace(self, low=float(f"{self.low * factor:.12g}"), high=float(f"{self.high * factor:.12g}"))

    @property
    def bounds(self) -> list[Any]:
        """`low` and `high`, after 0 with `zero`, as plain JSON values."""
        return [0, self.low, self.high] if self.zero else [self.low, self.high]

    def __str__(self) -> str:
        zero, scale = (
            "0 or " if self.zero else "",
            "" if self.log else " in 1 − value" if self.complement else " linear",
        )
        return f"{zero}{self.low:g} to {self.high:g}{scale}{_format_condition(self.when)}"


@dataclass(frozen=True)
class Choices:
    """An unordered list of values that tuning tries for one hyperparameter, such as names of schedules.

    Raises UserError if there are fewer than two different `values`.
    """

    values: tuple[Any, ...]
    #: The condition on other hyperparameters under which this one is tried (see `make_condition`).
    when: Condition = ()

    def __post_init__(self) -> None:
        if len(set(self.values)) != len(self.values) or len(self.values) < 2:
            raise out_of_range("search values", self.values, "at least two values, all different")

    @property
    def structured(self) -> bool:
        """Whether some of the values are tuples."""
        return any(isinstance(value, tuple) for value in self.values)

    def position(self, value: Any) -> float:
        """Return the position of a value: the n values divide 0 to 1 into n equal parts, and this is its part's centre.

        Raises:
            ValueError: If the value is not in the list.
        """
        return (self.values.index(value) + 0.5) / len(self.values)

    def at(self, share: float) -> Any:
        """Return the value at a position `share` between 0 and 1: the inverse of `position`."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def grid(self, size: int) -> list[float]:
        """Return the positions of all values, whatever the `size`."""
        return _centres(len(self.values))

    @property
    def continuous(self) -> bool:
        """Whether a sampler hardly ever proposes a value twice."""
        return False

    def contains(self, value: Any) -> bool:
        """Whether a value is in the list."""
        return value in self.values

    @property
    def bounds(self) -> list[Any]:
        """All values, as a list."""
        return list(self.values)

    def __str__(self) -> str:
        return f"{' or '.join(map(str, self.values))}{_format_condition(self.when)}"


Space = Mapping[str, Range | Choices]


def make_condition(when: Mapping[str, Any]) -> Condition:
    """Make a condition from a mapping of hyperparameters to the value, or the list of values, that each must have."""
    return tuple((key, tuple(v) if isinstance(v, (list, tuple)) else (v,)) for key, v in sorted(when.items()))


def active_hyperparameters(space: Space, values: Mapping[str, Any]) -> set[str]:
    """Return the names of the active hyperparameters of a search space.

    A hyperparameter is active if its condition holds and all hyperparameters in the condition are active themselves.

    Args:
        space: The search space.
        values: The values of all hyperparameters, searched or not.
    """
    names = {name for name, tried in space.items() if all(values.get(key) in of for key, of in tried.when)}
    while dropped := {n for n in names if any(key in space and key not in names for key, _ in space[n].when)}:
        names -= dropped
    return names


def check_conditions(owner: str, space: Space, known: Iterable[str]) -> None:
    """Check the conditions of a search space.

    Args:
        owner: The optimizer, for error messages.
        space: The search space.
        known: Names of the optimizer's hyperparameters.

    Raises:
        UserError: If a condition refers to an unknown hyperparameter, or if a hyperparameter depends on itself.
    """
    from optbench.errors import unknown

    accepted = set(known)
    for name, tried in space.items():
        for key, _ in tried.when:
            if key not in accepted:
                raise unknown(f"hyperparameter in a condition of {owner}.{name}", key, accepted)
        visited, pending = set(), [name]
        while pending:
            for key, _ in space[pending.pop()].when:
                if key == name:
                    raise UserError(f"the condition of {owner}.{name} depends on itself")
                if key in space and key not in visited:
                    visited.add(key)
                    pending.append(key)


def search_identity(tried: Range | Choices) -> dict[str, Any]:
    """Return a range or list as it enters a cell's identity; later fields are omitted if they are empty."""
    entry = asdict(tried)
    for name in ("when", "zero", "complement"):
        if not entry.get(name):
            entry.pop(name, None)
    return entry


def space_text(space: Space) -> str:
    """Return a search space as JSON, from which `read_space` makes it again."""
    return json.dumps({name: search_identity(tried) for name, tried in space.items()}, ensure_ascii=False)


def read_space(text: str) -> dict[str, Range | Choices]:
    """Return the search space that `space_text` wrote; an empty one for an empty text."""
    space: dict[str, Range | Choices] = {}
    for name, entry in (json.loads(text) if text else {}).items():
        when = tuple((key, _as_tuples(values)) for key, values in entry.pop("when", ()))
        if "values" in entry:
            space[name] = Choices(_as_tuples(entry["values"]), when)
        else:
            space[name] = Range(**entry, when=when)
    return space


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _centres(count: int) -> list[float]:
    """The centres of `count` equal parts of the axis from 0 to 1."""
    return [(place + 0.5) / count for place in range(count)]


def _format_condition(when: Condition) -> str:
    if not when:
        return ""
    return " where " + " and ".join(f"{key} is {' or '.join(map(str, values))}" for key, values in when)
