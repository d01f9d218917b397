"""The spec of an optimizer: its name, its constructor, its requirements and its search space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from optbench.errors import UserError, out_of_range, unknown
from optbench.optimizers.additions import ADDITIONS, check_compatible, convert_added_space, convert_addition
from optbench.optimizers.decay import DECAY_PER_STEP, WEIGHT_DECAY, keep_one_decay
from optbench.optimizers.schedule import convert_parameter, optimizer_schedule
from optbench.optimizers.search_space import Choices, Range
from optbench.selection import AcceptedValues, convert, is_number

if TYPE_CHECKING:
    from optbench.problem.base import Problem

#: Hyperparameters that every optimizer has and that optbench itself applies, with their defaults: the shape of the
#: learning-rate schedule, its warm-up, the decay of `wsd`, and the factor at the end. They are not passed to the
#: constructor.
SCHEDULE_HYPERPARAMETERS: dict[str, Any] = {
    "lr_schedule": "constant", "lr_warmup": 0.0, "lr_cooldown": 0.2, "lr_final": 0.0,
}  # fmt: skip

#: Names that other constructors give to their learning rate.
RATE_NAMES = ("learning_rate", "max_lr", "base_lr", "init_lr", "initial_lr", "lr0", "lrate", "eta", "step_size")

#: The learning rates that are searched on quadratic problems by methods whose steps do not scale with the loss.
ADAPTIVE = Range(1e-3, 1e1)

#: Facts about the training that can be passed to a constructor (see `construct.run_facts`).
RUN_FACTS = ("steps", "epochs", "steps_per_epoch", "batch_size", "training_examples")


@dataclass(frozen=True)
class OptimizerSpec:
    """The declaration of an optimizer.

    `name`, the update `rule` and its `source` are shown by `optbench list optimizers`. `constructor` is `module:Class`
    or `file.py:Class`, called as `Class(params, lr=…, **arguments)`. `default_lr` is its default learning rate, which
    is the first one tried, and `learning_rate` is the search range on networks. `hyperparameters` are those that a
    selection can set, with their defaults. The `family` "sgd" has steps that scale with the loss. `search` holds search
    spaces of hyperparameters other than the learning rate. A range that is declared holds on all problems; that of a
    registered optimizer is adapted (see `follows_curvature` and `heavy_ball`). If there is neither a learning-rate
    range nor a `search`, nothing is tuned, and no tuning cost is charged.

    `groups` are parameter groups by name. Each has patterns (as in `fnmatch`) of parameter names, or a rule (see
    `parameter_groups`); the remaining parameters form one more group. In `arguments`, `hyperparameters` and `search`, a
    name such as `NAME.momentum` or `NAME.lr` refers to group NAME. `partners` are the constructors of groups that
    another class updates; they use the same `lr` and `weight_decay` unless they have their own.
    """

    name: str
    constructor: str
    default_lr: float | None
    learning_rate: Range | None
    family: Literal["sgd", "adaptive", "quasi-newton"] = "adaptive"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the learning-rate range is adapted: on quadratic problems and functions, that of the family "sgd" follows
    #: the curvature, and all others search 1e-3 to 1e1. None: only for registered optimizers and detected ranges.
    follows_curvature: bool | None = None
    #: Whether steps add up as in SGD with momentum μ and dampening τ: the adapted range is then (1 − μ)/(1 − τ) times
    #: that without momentum, because steps are longer by the inverse.
    heavy_ball: bool = False
    search: Mapping[str, Range | Choices] = field(default_factory=dict)
    #: Further hyperparameters that would be searched if a TOML table did not fix them.
    fixed_search: frozenset[str] = frozenset()
    groups: Mapping[str, tuple[str, ...] | str] = field(default_factory=dict)
    partners: Mapping[str, str] = field(default_factory=dict)
    #: Whether `step` calls a closure; each call is charged. Detected if `step` requires a closure.
    needs_closure: bool = False
    #: Whether `step` differentiates the gradients a second time. They are then computed with `create_graph=True`, and
    #: each second backward pass is charged.
    second_backward: bool = False
    #: Constructor arguments that receive a fact about the training, one of `RUN_FACTS`.
    from_run: Mapping[str, str] = field(default_factory=dict)
    #: `module:function` that is called before every construction, to reset state that the class keeps outside of its
    #: instances.
    reset: str = ""
    #: Whether parameters must be contiguous, because the optimizer flattens gradients with `view`; they are then not
    #: stored channels-last.
    contiguous_parameters: bool = False
    #: Whether the step is linear in a constant learning rate and each coordinate's step depends on that coordinate
    #: alone; None if a probe decides.
    linear_in_rate: bool | None = None
    #: The optimizer that a TOML table varies; empty if `registry.underlying` tells it from the class.
    base: str = ""
    #: Whether it averages its weights itself, so that optbench can't average them as well. Detected for classes.
    averages: bool = False
    #: The distribution package that must be installed, if it isn't torch.
    package: str = ""
    #: The extra of optbench that installs `package`.
    extra: str = ""
    #: Checks of `optbench check` that this optimizer cannot pass by design, each with the reason.
    waived: Mapping[str, str] = field(default_factory=dict)
    rule: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.learning_rate, Range) and self.learning_rate.zero:
            raise UserError(f"the search range of {self.name}.lr contains 0 (accepted: a range above 0)")
        for key in {**self.arguments, **self.hyperparameters, **self.search}:
            group, _, name = key.rpartition(".")
            if group and group not in self.partners:
                self.refuse_in_group(f"{self.name}.{group}", [name])

    def refuse_in_group(self, group: str, names: Iterable[str]) -> None:
        """Refuse hyperparameters of a parameter group that optbench applies to all parameters together.

        Args:
            group: The group, for error messages.
            names: Hyperparameters that the group fixes or searches.

        Raises:
            UserError: If there is such a hyperparameter.
        """
        for name in names:
            if name in SCHEDULE_HYPERPARAMETERS or name in self.added:
                raise UserError(
                    f"{name} applies to all parameters, not to group {group} alone (accepted: {name} of the optimizer)"
                )

    def configured(self, parameters: Mapping[str, Any]) -> ConfiguredOptimizer:
        """Return the optimizer with some hyperparameters fixed.

        Args:
            parameters: Values by hyperparameter; may include `lr`.

        Raises:
            UserError: If a hyperparameter is unknown, or if a value has the wrong type or is out of range.
        """
        known = self.known
        fixed = {}
        for key, value in parameters.items():
            if key not in known:
                raise self.unknown_hyperparameter(key)
            if key in self.added:
                fixed[key] = value  # converted below, with those that the spec fixes
                continue
            if key == "lr" and is_number(value) and value <= 0:
                raise out_of_range(f"{self.name}[lr]", value, "a number above 0")
            if key in SCHEDULE_HYPERPARAMETERS:
                fixed[key] = self._schedule_value(key, value)
                continue
            if key == DECAY_PER_STEP and self.has_decay_per_step:
                if not is_number(value) or not 0 <= value < 1:
                    raise out_of_range(f"{self.name}[{key}]", value, "a number of at least 0 and below 1")
                fixed[key] = float(value)
                continue
            if key in self.entries:
                if not is_number(value) or not 0 <= value < 1:
                    raise out_of_range(f"{self.name}[{key}]", value, "a number of at least 0 and below 1")
                fixed[key] = float(value)
                continue
            # A whole-number default does not imply whole numbers: torch writes `momentum=0` for 0.0.
            low = -math.inf if is_number(known[key]) and known[key] < 0 else 0.0
            fixed[key] = convert(f"{self.name}[{key}]", value, known[key], AcceptedValues(low=low, none=True))
        lr = fixed.pop("lr", self.default_lr)
        search = {key: tried for key, tried in self.search.items() if key not in parameters}
        search = keep_one_decay(self.name, fixed, search)
        for key in self.added & search.keys():
            search[key] = convert_added_space(f"the search space of {self.name}.{key}", key, search[key])
        arguments = self._without_idle_additions({**keep_one_decay(self.name, fixed, self.arguments), **fixed})
        self._check_decay(search)
        self._check_entries({*arguments, *search}, search)
        check_compatible(
            self.name, self.added & {*arguments, *search}, self.averages, {**self.hyperparameters, **arguments}, search
        )
        return ConfiguredOptimizer(
            spec=self,
            arguments=arguments,
            default_lr=lr,
            lr_fixed="lr" in parameters,
            search=search,
        )

    def _without_idle_additions(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments with converted additions, and without those that are switched off."""
        converted = {
            key: convert_addition(f"{self.name}[{key}]", key, value) if key in self.added else value
            for key, value in arguments.items()
        }
        return {key: value for key, value in converted.items() if key not in self.added or value}

    def _check_decay(self, search: Mapping[str, Range | Choices]) -> None:
        """Refuse a search space of the decay per step with which weights would grow or change their sign."""
        tried = search.get(DECAY_PER_STEP) if self.has_decay_per_step else None
        for value in () if tried is None else tried.bounds:
            if not is_number(value) or not 0 <= value < 1:
                what = f"the search space of {self.name}.{DECAY_PER_STEP}"
                raise out_of_range(what, value, "numbers of at least 0 and below 1")

    def _check_entries(self, used: set[str], search: Mapping[str, Range | Choices]) -> None:
        """Refuse an entry of a tuple together with the whole tuple, and search spaces of entries with other values."""
        for key in self.entries.keys() & used:
            if (whole := self.entries[key][0]) in used:
                raise UserError(f"{self.name} has both {whole} and {key}, which is one of its entries (accepted: one)")
            tried = search.get(key)
            for value in () if tried is None else tried.bounds:
                if not is_number(value) or not 0 <= value < 1:
                    what = f"the search space of {self.name}.{key}"
                    raise out_of_range(what, value, "numbers of at least 0 and below 1")

    def unknown_hyperparameter(self, key: str, purpose: str = "") -> UserError:
        """Return the error for a hyperparameter that the optimizer does not have.

        Args:
            key: Its name.
            purpose: What it was to be used for, such as " to search".
        """
        if key == "weight_decay":  # no similar name means something similar
            accepted = ", ".join(sorted(self.known))
            return UserError(f"optimizer {self.name} has no weight_decay{purpose} (accepted: {accepted})")
        return unknown(f"hyperparameter of {self.name}{purpose}", key, self.known)

    def _schedule_value(self, key: str, value: Any) -> Any:
        """Convert a hyperparameter of the schedule; the plan checks whether several fit together."""
        what = f"{self.name}[{key}]"
        if key != "lr_schedule":
            return convert_parameter(what, key, value)
        optimizer_schedule({key: convert(what, value, SCHEDULE_HYPERPARAMETERS[key], AcceptedValues(none=True))})
        return value

    @property
    def known(self) -> dict[str, Any]:
        """All hyperparameters that can be fixed or searched, with their defaults."""
        rate = {} if self.default_lr is None else {"lr": self.default_lr}
        schedules = {} if self.default_lr is None else SCHEDULE_HYPERPARAMETERS
        entries = {key: self.hyperparameters[whole][index] for key, (whole, index) in self.entries.items()}
        decay = {}
        if self.has_decay_per_step:
            decay = {DECAY_PER_STEP: self.default_lr * self.hyperparameters[WEIGHT_DECAY]}
        return {**rate, **schedules, **ADDITIONS, **decay, **entries, **self.hyperparameters}

    @property
    def has_decay_per_step(self) -> bool:
        """Whether its weight decay can be given as `decay_per_step`."""
        own = self.hyperparameters
        return self.default_lr is not None and is_number(own.get(WEIGHT_DECAY)) and DECAY_PER_STEP not in own

    @property
    def entries(self) -> dict[str, tuple[str, int]]:
        """The entries of `betas` as hyperparameters of their own, `beta1`, `beta2`, …, with the tuple and the index.

        They can be searched one by one. A parameter group has them under its name, as `NAME.beta1`.
        """
        return {
            f"{name[:-1]}{index + 1}": (name, index)
            for name, default in self.hyperparameters.items()
            if name.rpartition(".")[2] == "betas" and isinstance(default, tuple) and all(map(is_number, default))
            for index in range(len(default))
            if f"{name[:-1]}{index + 1}" not in self.hyperparameters
        }

    @property
    def added(self) -> frozenset[str]:
        """The hyperparameters that optbench adds: those of `ADDITIONS` that the optimizer does not have itself."""
        return frozenset(ADDITIONS.keys() - self.hyperparameters.keys())

    @property
    def other_rates(self) -> list[str]:
        """Hyperparameters that look like a learning rate but are not tuned, if none is called `lr`."""
        if self.default_lr is not None:
            return []
        return [name for name in self.hyperparameters if name in RATE_NAMES and name not in self.search]


@dataclass(frozen=True)
class ConfiguredOptimizer:
    """A spec with the hyperparameters that a selection fixes."""

    spec: OptimizerSpec
    arguments: Mapping[str, Any]
    default_lr: float | None
    lr_fixed: bool
    search: Mapping[str, Range | Choices]

    def search_space(self, problem: Problem) -> dict[str, Range | Choices]:
        """Return the search space on a problem.

        Hyperparameters whose condition cannot be met, because it depends on another one that is fixed, are left out.
        """
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
        # Conditions on fixed hyperparameters are met; only those on searched ones remain.
        return {
            name: replace(tried, when=tuple(pair for pair in tried.when if pair[0] in space))
            for name, tried in space.items()
        }

    @property
    def defaults(self) -> dict[str, Any]:
        """The untuned values of all hyperparameters."""
        rate = {} if self.default_lr is None else {"lr": self.default_lr}
        decay = {}
        if self.default_lr is not None and self.spec.has_decay_per_step:
            decay = {DECAY_PER_STEP: self.default_lr * self.spec.hyperparameters[WEIGHT_DECAY]}
        return {**self.spec.known, **decay, **self.arguments, **rate}

    def _learning_rate_range(self, problem: Problem) -> Range:
        rates = self.spec.learning_rate
        assert rates is not None
        if not self.spec.follows_curvature:
            return rates
        if problem.kind != "network" and problem.curvature is not None:
            # Gradient descent is stable below 2/L, for the curvature L.
            rates = Range(4e-4 / problem.curvature, 4 / problem.curvature) if self.spec.family == "sgd" else ADAPTIVE
        return rates.scaled(self._shortening) if self.spec.heavy_ball and rates.log else rates

    @property
    def _shortening(self) -> float:
        """(1 − μ)/(1 − τ) of momentum and dampening; 1 if they are searched, or not between 0 and 1."""
        rest = [1.0 - float(self.defaults.get(name) or 0.0) for name in ("momentum", "dampening")]
        usable = all(0 < share <= 1 for share in rest) and not {"momentum", "dampening"} & self.search.keys()
        # Rounded, so that a momentum of 0.9 gives the range 1e-4 to 1 and not 0.9999….
        return float(f"{rest[0] / rest[1]:.12g}") if usable else 1.0
