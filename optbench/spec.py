"""The author API of optimizers: a name, a constructor, and the search space that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from optbench.errors import out_of_range, unknown

if TYPE_CHECKING:
    from optbench.problem import Problem

#: How far a range reaches beyond an edge at which the best value lies, in decades (see `tune`).
EXTENSION_DECADES = 1.0


@dataclass(frozen=True)
class Range:
    """The values that tuning may try for one hyperparameter, on a logarithmic or linear scale."""

    low: float
    high: float
    log: bool = True
    #: Whole numbers only.
    whole: bool = False

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

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def extended(self, edge: Literal["low", "high"]) -> Range:
        """A range on a logarithmic scale with a decade more beyond one edge."""
        factor = 10**EXTENSION_DECADES
        return Range(self.low / factor, self.high) if edge == "low" else Range(self.low, self.high * factor)


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer as optbench knows it. Its docs are the update rule and its source.

    `constructor` is `module:Class` (or `file.py:Class`), called as `Class(params, lr=…, **arguments)`.
    `hyperparameters` are those that a selection may fix, with their defaults; `search` holds further
    ranges beside the learning rate's. On quadratic problems and functions the learning rate's range follows the
    curvature for `family="sgd"`; the scale-free families search 1e-3 to 1e1.

    `groups` are parameter groups by name, each with the patterns (of `fnmatch`) of the parameters' names that
    belong to it; all others are one more group. A hyperparameter `NAME.momentum` or `NAME.lr`, in `arguments`,
    `hyperparameters` and `search` alike, is that of group NAME.
    """

    name: str
    constructor: str
    default_lr: float | None
    learning_rate: Range | None
    family: Literal["sgd", "adaptive", "quasi-newton"] = "adaptive"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    #: On quadratic problems the range of the learning rate is theirs, not `learning_rate`.
    follows_curvature: bool = True
    search: Mapping[str, Range] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs_closure: bool = False
    #: The optimizer flattens gradients with `view`, so its parameters can't be channels-last.
    contiguous_parameters: bool = False
    #: The step is linear in a constant learning rate, and each coordinate's depends on itself alone; None
    #: where a probe shall tell.
    linear_in_rate: bool | None = None
    rule: str = ""
    source: str = ""

    def configured(self, parameters: Mapping[str, Any]) -> ConfiguredOptimizer:
        """The optimizer with some of its hyperparameters fixed, the learning rate among them.

        Raises UserError for a hyperparameter that the constructor doesn't have.
        """
        accepted = {"lr", *self.hyperparameters} if self.default_lr is not None else set(self.hyperparameters)
        fixed = {}
        for key, value in parameters.items():
            if key not in accepted:
                raise unknown(f"hyperparameter of {self.name}", key, accepted)
            default = self.default_lr if key == "lr" else self.hyperparameters[key]
            if key == "lr" and _is_number(value) and value <= 0:
                raise out_of_range(f"{self.name}[lr]", value, "a number above 0")
            fixed[key] = _like(f"{self.name}[{key}]", value, default)
        lr = fixed.pop("lr", self.default_lr)
        return ConfiguredOptimizer(
            spec=self,
            arguments={**self.arguments, **fixed},
            default_lr=lr,
            lr_fixed="lr" in parameters,
            search={key: found for key, found in self.search.items() if key not in parameters},
        )


@dataclass(frozen=True)
class ConfiguredOptimizer:
    """A spec with the hyperparameters that a selection fixed."""

    spec: OptimizerSpec
    arguments: Mapping[str, Any]
    default_lr: float | None
    lr_fixed: bool
    search: Mapping[str, Range]

    def search_space(self, problem: Problem) -> dict[str, Range]:
        """What is tuned on this problem; empty where nothing is."""
        space = dict(self.search)
        if not self.lr_fixed and self.spec.learning_rate is not None:
            space["lr"] = self._learning_rate_range(problem)
        return space

    def _learning_rate_range(self, problem: Problem) -> Range:
        assert self.spec.learning_rate is not None
        if problem.kind == "network" or problem.curvature is None or not self.spec.follows_curvature:
            return self.spec.learning_rate
        if self.spec.family == "sgd":
            # Gradient descent is stable below 2/L, heavy ball below 2(1 + momentum)/L.
            return Range(1e-4 / problem.curvature, 4 / problem.curvature)
        return Range(1e-3, 1e1)


def _like(what: str, value: Any, default: Any) -> Any:
    """A value in the type of the default; one that doesn't fit it is refused before torch sees it.

    A default that is a whole number says little: torch writes `momentum=0`, meaning 0.0.
    """
    fits, accepted = True, ""
    if isinstance(default, bool):
        fits, accepted = isinstance(value, bool), "true or false"
    elif isinstance(default, (int, float)):
        fits, accepted = _is_number(value) and (value >= 0 or default < 0), "a number of at least 0"
    elif isinstance(default, tuple):
        fits = isinstance(value, tuple) and len(value) == len(default) and all(map(_is_number, value))
        accepted = f"{len(default)} numbers in parentheses, as in {default}"
    elif isinstance(default, str):
        fits, accepted = value is None or isinstance(value, str), f"a name such as {default}, or none"
    if not fits:
        raise out_of_range(what, value, accepted)
    if isinstance(default, tuple):
        return tuple(
            float(part) if isinstance(like, float) else part for part, like in zip(value, default, strict=True)
        )
    return float(value) if isinstance(default, float) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
