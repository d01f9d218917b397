"""The author API of optimizers: a name, a constructor, what it needs, and the search space that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from optbench.errors import out_of_range, unknown
from optbench.optimizers.schedule import shaped
from optbench.optimizers.search_space import Choices, Range
from optbench.selection import Accepted, convert, is_number

if TYPE_CHECKING:
    from optbench.problem.base import Problem

#: Hyperparameters of every optimizer that the harness acts on, with their defaults: the shape of the learning
#: rate over the run, and the fraction of the budget over which it first rises. No constructor sees them.
SCHEDULE_HYPERPARAMETERS: dict[str, Any] = {"lr_schedule": "constant", "lr_warmup": 0.0}

#: Names that other constructors give to their learning rate.
RATE_NAMES = ("learning_rate", "max_lr", "base_lr", "init_lr", "initial_lr", "lr0", "lrate", "eta", "step_size")

#: What a constructor may be told about the training (see `construct.run_facts`).
RUN_FACTS = ("steps", "epochs", "steps_per_epoch", "batch_size", "training_examples")


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer as optbench knows it: `name`, update `rule` and its `source`, for `optbench list optimizers`.

    `constructor` is `module:Class` (or `file.py:Class`), called as `Class(params, lr=…, **arguments)`; `default_lr`
    and `learning_rate` are its own rate, the first that is tried, and the range that is searched on networks.
    `hyperparameters` are those that a selection may fix, with their defaults; `search` holds further
    ranges beside the learning rate's. On quadratic problems and functions the learning rate's range follows the
    curvature for `family="sgd"`; the scale-free families search 1e-3 to 1e1. Without a range for the learning
    rate, and with an empty `search`, there is nothing to tune, and nothing is charged for it.

    `groups` are parameter groups by name, each with the patterns (of `fnmatch`) of the parameters' names that
    belong to it, or with a rule (see `rules`); all others are one more group. A hyperparameter `NAME.momentum` or
    `NAME.lr`, in `arguments`, `hyperparameters` and `search` alike, is that of group NAME. `partners` names the
    constructors of groups that another class steps; they share `lr` and `weight_decay` unless they have their own.
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
    search: Mapping[str, Range | Choices] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...] | str] = field(default_factory=dict)
    partners: Mapping[str, str] = field(default_factory=dict)
    #: `step` calls a closure, each call of which is charged. Detected where `step` requires one.
    needs_closure: bool = False
    #: `step` differentiates the gradients once more: they are made with `create_graph=True`, and what that takes is
    #: charged as it happens.
    second_backward: bool = False
    #: Arguments of the constructor with the fact about the training, one of `RUN_FACTS`, that each is given.
    from_run: Mapping[str, str] = field(default_factory=dict)
    #: `module:function`, called before every construction: forgets what the class keeps outside of its instances.
    reset: str = ""
    #: The optimizer flattens gradients with `view`, so its parameters can't be channels-last.
    contiguous_parameters: bool = False
    #: The step is linear in a constant learning rate, and each coordinate's depends on itself alone; None
    #: where a probe shall tell.
    linear_in_rate: bool | None = None
    #: The distribution that has to be installed, where that isn't torch, with the extra that brings it.
    package: str = ""
    #: See `package`.
    extra: str = ""
    #: Checks of `optbench check` that this optimizer can't pass by its nature, each with the reason.
    waived: Mapping[str, str] = field(default_factory=dict)
    rule: str = ""
    source: str = ""

    def configured(self, parameters: Mapping[str, Any]) -> ConfiguredOptimizer:
        """The optimizer with some of its hyperparameters fixed, the learning rate among them.

        Raises UserError for a hyperparameter that the constructor doesn't have.
        """
        known = self.known
        fixed = {}
        for key, value in parameters.items():
            if key not in known:
                raise unknown(f"hyperparameter of {self.name}", key, known)
            if key == "lr" and is_number(value) and value <= 0:
                raise out_of_range(f"{self.name}[lr]", value, "a number above 0")
            # A default that is a whole number says little: torch writes `momentum=0`, meaning 0.0.
            low = -math.inf if is_number(known[key]) and known[key] < 0 else 0.0
            fixed[key] = convert(f"{self.name}[{key}]", value, known[key], Accepted(low=low, none=True))
        if fixed.keys() & SCHEDULE_HYPERPARAMETERS.keys():
            shaped({**known, **self.arguments, **fixed})
        lr = fixed.pop("lr", self.default_lr)
        return ConfiguredOptimizer(
            spec=self,
            arguments={**self.arguments, **fixed},
            default_lr=lr,
            lr_fixed="lr" in parameters,
            search={key: found for key, found in self.search.items() if key not in parameters},
        )

    @property
    def known(self) -> dict[str, Any]:
        """All hyperparameters that may be fixed or searched, with their defaults."""
        rate = {} if self.default_lr is None else {"lr": self.default_lr}
        schedules = {} if self.default_lr is None else SCHEDULE_HYPERPARAMETERS
        return {**rate, **schedules, **self.hyperparameters}

    @property
    def other_rates(self) -> list[str]:
        """Hyperparameters that look like a learning rate of which nothing is tuned, where none is called `lr`."""
        if self.default_lr is not None:
            return []
        return [name for name in self.hyperparameters if name in RATE_NAMES and name not in self.search]

    @property
    def without_tuning(self) -> bool:
        """Whether nothing of it is searched, as of learning-rate-free methods."""
        return self.learning_rate is None and not self.search


@dataclass(frozen=True)
class ConfiguredOptimizer:
    """A spec with the hyperparameters that a selection fixed."""

    spec: OptimizerSpec
    arguments: Mapping[str, Any]
    default_lr: float | None
    lr_fixed: bool
    search: Mapping[str, Range | Choices]

    def search_space(self, problem: Problem) -> dict[str, Range | Choices]:
        """What is tuned on this problem, but for what depends on a hyperparameter that is fixed at another value."""
        space: dict[str, Range | Choices] = dict(self.search)
        if not self.lr_fixed and self.spec.learning_rate is not None:
            space["lr"] = self._learning_rate_range(problem)
        known, dropped = self.defaults, set[str]()
        while idle := {
            name
            for name, tried in space.items()
            if any(key in dropped or (key not in space and known.get(key) not in of) for key, of in tried.when)
        }:
            dropped |= idle
            space = {name: tried for name, tried in space.items() if name not in idle}
        # What is left of conditions speaks of what is searched.
        return {
            name: replace(tried, when=tuple(pair for pair in tried.when if pair[0] in space))
            for name, tried in space.items()
        }

    @property
    def defaults(self) -> dict[str, Any]:
        """All hyperparameters as they are where nothing is tuned."""
        rate = {} if self.default_lr is None else {"lr": self.default_lr}
        return {**self.spec.known, **self.arguments, **rate}

    def _learning_rate_range(self, problem: Problem) -> Range:
        assert self.spec.learning_rate is not None
        if problem.kind == "network" or problem.curvature is None or not self.spec.follows_curvature:
            return self.spec.learning_rate
        if self.spec.family == "sgd":
            # Gradient descent is stable below 2/L, heavy ball below 2(1 + momentum)/L.
            return Range(1e-4 / problem.curvature, 4 / problem.curvature)
        return Range(1e-3, 1e1)
