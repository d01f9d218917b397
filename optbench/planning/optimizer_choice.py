"""An optimizer as part of a cell: everything that a worker needs to construct and tune it. Needs no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from optbench.errors import out_of_range
from optbench.formatting import in_words
from optbench.optimizers.additions import ADDITIONS
from optbench.optimizers.decay import DECAY_PER_STEP, set_weight_decay
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS, underlying
from optbench.optimizers.search_space import Choices, Range, active_hyperparameters, search_identity
from optbench.optimizers.signature import LENGTH_ARGUMENTS
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS, ConfiguredOptimizer, OptimizerSpec
from optbench.planning.execution import StepTraits
from optbench.problem.base import Problem
from optbench.selection import is_number

#: Fields that were added later: they are omitted from the identity if empty, so that older cells keep their ids.
_LATER = ("groups", "partners", "second_backward", "from_run", "reset")


#: Beginnings of the names of code that comes with torch or optbench.
_TRUSTED = ("torch.optim:", "optbench.")

#: Former names of code that has moved; the hashes of older results' cells contain these.
_FORMER = {"optbench.optimizers.zoo.sam:sam": "optbench.zoo.sam:sam"}


@dataclass(frozen=True)
class OptimizerChoice:
    """An optimizer with its hyperparameters and its search space on a problem (see `OptimizerSpec`)."""

    label: str
    constructor: str
    arguments: dict[str, Any]
    #: Untuned values of the learning rate and of all other tuned hyperparameters.
    defaults: dict[str, Any]
    search: dict[str, Range | Choices]
    needs_closure: bool
    contiguous_parameters: bool
    linear_in_rate: bool | None
    #: Parameter groups by name: patterns of parameter names, or a rule.
    groups: dict[str, tuple[str, ...] | str]
    partners: dict[str, str]
    second_backward: bool
    from_run: dict[str, str]
    reset: str
    #: The distribution package that the optimizer needs, and the version of its code (see `code_version`).
    package: str
    source: str
    #: The name of the optimizer that it is a variant of (see `registry.underlying`).
    base: str = ""
    #: Names of all hyperparameters that the spec searches, also of those that are fixed here. They decide how the cell
    #: is executed: so the chosen point has the same bits if it is fixed and trained again.
    tunable: frozenset[str] = frozenset()
    #: Names of the fixed or searched hyperparameters that optbench adds (`optimizers.additions`).
    added: frozenset[str] = frozenset()
    #: Tuples of which a single entry is fixed or searched (`OptimizerSpec.entries`), with their defaults.
    tuples: dict[str, tuple[float, ...]] = field(default_factory=dict)
    #: Whether its weight decay follows from the learning rate (see `optimizers.decay`).
    decays_per_step: bool = False

    @property
    def name(self) -> str:
        """The label without parameters."""
        return self.label.partition("[")[0]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the results, as plain JSON values; folders of files do not count."""
        parts: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)} | {
            "constructor": _identity_of(self.constructor),
            "search": {name: search_identity(tried) for name, tried in self.search.items()},
            "partners": {group: _identity_of(target) for group, target in self.partners.items()},
            "reset": _identity_of(self.reset) if self.reset else "",
        }
        for name in ("label", "base", "linear_in_rate", "tunable", "package", "added", "tuples", "decays_per_step"):
            del parts[name]
        for name in _LATER:
            if not parts[name]:
                del parts[name]
        if revisions := self._revisions():
            parts["revisions"] = revisions
        identity: dict[str, Any] = plain_json(parts)
        return identity

    @property
    def method(self) -> str:
        """The constructor without folders, and the parameter groups: equal for one method with other values."""
        groups = [self.groups, {group: _identity_of(target) for group, target in self.partners.items()}]
        return f"{_identity_of(self.constructor)}{f' {json.dumps(groups)}' if self.groups else ''}"

    @cached_property
    def own(self) -> bool:
        """Whether its code does not come with optbench, which has tested what registered optimizers do."""
        return self.constructor not in {spec.constructor for spec in REGISTERED_OPTIMIZERS.values()}

    @property
    def trusted(self) -> bool:
        """Whether its code comes with torch or optbench, which test it; the experiments' optimizers are among these."""
        return self.constructor.startswith(_TRUSTED)

    @cached_property
    def has_own_code(self) -> bool:
        """Whether some of its code is a user's, also if it is that of a group."""
        registered = {spec.constructor for spec in REGISTERED_OPTIMIZERS.values()}
        return any(
            target not in registered and not target.startswith(_TRUSTED)
            for target in (self.constructor, *self.partners.values())
        )

    def _revisions(self) -> list[str]:
        """The changes of the computation that concern this optimizer.

        They are part of the identity, so that cells that were stored before such a change are computed again.
        """
        changes = {
            "passes": self.own and (self.needs_closure or self.second_backward),
            "fixed rate": bool(self.search) and "lr" in self.defaults and "lr" not in self.search,
            "told steps": (self.needs_closure or self.second_backward)
            and bool({*self.from_run.values()} & {"steps", "epochs"}),
            "tuples": any(isinstance(tried, Choices) and tried.structured for tried in self.search.values()),
        }
        return [name for name, concerned in changes.items() if concerned]

    @cached_property
    def fixed(self) -> dict[str, Any]:
        """The arguments of all trainings. A tuned hyperparameter whose condition is not met has no value."""
        conditional = {name for name, tried in self.search.items() if tried.when}
        return {name: value for name, value in self.arguments.items() if name not in conditional}

    def constructor_arguments(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the constructor receives in a training: all arguments except those that optbench applies.

        Args:
            hyperparameters: The training's values.
        """
        applied = SCHEDULE_HYPERPARAMETERS.keys() | self.added
        values = {key: value for key, value in {**self.fixed, **hyperparameters}.items() if key not in applied}
        if self.decays_per_step:
            values = set_weight_decay(values, values.get("lr", self.defaults["lr"]))
        for name, defaults in self.tuples.items():
            entries = [values.pop(f"{name[:-1]}{place}", value) for place, value in enumerate(defaults, 1)]
            values[name] = tuple(entries)
        return values

    def additions(self, hyperparameters: Mapping[str, Any]) -> dict[str, float]:
        """Return the values of all `ADDITIONS` in a training; 0 means off.

        Args:
            hyperparameters: The training's values.
        """
        given = {**self.fixed, **hyperparameters}
        return {name: given.get(name, off) if name in self.added else off for name, off in ADDITIONS.items()}

    @cached_property
    def scheduled(self) -> bool:
        """Whether the optimizer has its own learning-rate schedule."""
        return bool(SCHEDULE_HYPERPARAMETERS.keys() & {*self.arguments, *self.search})

    @property
    def length_arguments(self) -> list[str]:
        """Constructor arguments by which the optimizer knows the length of a training, as a schedule does."""
        received = [name for name, fact in self.from_run.items() if fact in ("steps", "epochs")]
        # Others that are set, such as max_iterations, may as well count something within a step.
        words = ("total", "training", "epochs")
        named = [name for name in self.arguments if name in LENGTH_ARGUMENTS and any(word in name for word in words)]
        return [name for name in dict.fromkeys([*received, *named]) if self.arguments.get(name, 1) is not None]

    @cached_property
    def step(self) -> StepTraits:
        """The properties on which the choice of an execution depends."""
        special = ""
        if self.second_backward:
            special = "the step differentiates gradients"
        elif self.scheduled:
            special = "the optimizer has its own schedule"
        elif self.decays_per_step:
            special = "the weight decay depends on the learning rate"
        elif self.from_run or self.reset:
            special = "the optimizer is constructed separately for each training"
        searched, grouped = self.tunable | self.search.keys(), bool(self.groups)
        return StepTraits(self.needs_closure, self.linear_in_rate, searched, "lr" in self.defaults, grouped, special)


def choose_optimizer(label: str, chosen: ConfiguredOptimizer, source: str, problem: Problem) -> OptimizerChoice:
    """Combine a configured optimizer with a problem, which determines its search space.

    Args:
        label: The optimizer's label in tables.
        chosen: The configured optimizer.
        source: The version of its code (see `code_version`).
        problem: The problem.
    """
    spec, space, values = chosen.spec, chosen.search_space(problem), chosen.defaults
    active = active_hyperparameters(space, values)
    unmet = chosen.search.keys() - space.keys()
    rate = {} if chosen.default_lr is None else {"lr": chosen.default_lr}
    return OptimizerChoice(
        label=label,
        constructor=spec.constructor,
        arguments={name: value for name, value in chosen.arguments.items() if name not in unmet},
        defaults={**rate, **{name: values[name] for name in space if name != "lr" and name in active}},
        search=space,
        needs_closure=spec.needs_closure,
        contiguous_parameters=spec.contiguous_parameters,
        linear_in_rate=spec.linear_in_rate,
        groups=dict(spec.groups),
        partners=dict(spec.partners),
        second_backward=spec.second_backward,
        from_run=dict(spec.from_run),
        reset=spec.reset,
        package=spec.package,
        source=source,
        base=underlying(spec),
        tunable=spec.fixed_search | spec.search.keys(),
        added=spec.added & {*chosen.arguments, *chosen.search},
        tuples={
            whole: spec.hyperparameters[whole]
            for key, (whole, _) in spec.entries.items()
            if key in chosen.arguments or key in chosen.search
        },
        decays_per_step=spec.has_decay_per_step and DECAY_PER_STEP in {*chosen.arguments, *chosen.search},
    )


def describe_two_schedules(choice: OptimizerChoice, schedule: str) -> list[str]:
    """Return a note if a schedule meets an own optimizer that knows the training's length, as schedules do.

    Args:
        choice: The optimizer.
        schedule: The schedule of the cell.
    """
    told = [name for name, fact in choice.from_run.items() if fact in ("steps", "epochs", "steps_per_epoch")]
    told += [name for name in choice.arguments if name in LENGTH_ARGUMENTS]
    outer = "its lr_schedule or lr_warmup" if choice.scheduled else f"schedule {schedule}"
    if not choice.own or not told or (schedule == "constant" and not choice.scheduled):
        return []
    return [
        f"optimizer {choice.label} receives the length of the training ({', '.join(told)}); if it has a schedule of "
        f"its own, {outer} multiplies with that"
    ]


def describe_outside(choice: OptimizerChoice, spec: OptimizerSpec) -> list[str]:
    """Return one note for each default that lies outside of its declared search space, so that only trial 0 tries it.

    Args:
        choice: The optimizer on a problem. Ranges of the learning rate that follow from the problem are not declared.
        spec: Its spec.
    """
    declared = {**spec.search, **({} if spec.learning_rate is None else {"lr": spec.learning_rate})}
    return [
        f"default {name} = {choice.defaults[name]} of optimizer {choice.label} lies outside of its search space, "
        f"{replace(tried, when=())}: trial 0 alone tries it"
        for name, tried in choice.search.items()
        if name in choice.defaults
        and replace(tried, when=()) == replace(declared[name], when=())
        and not _contains(tried, choice.defaults[name])
    ]


def describe_conditions(choice: OptimizerChoice, sampler: str) -> list[str]:
    """Return a note if the sampler does not model hyperparameters with a condition; otherwise none.

    Args:
        choice: The optimizer on a problem.
        sampler: Name of the sampler.
    """
    names = [name for name, tried in choice.search.items() if tried.when]
    if sampler != "gp" or not names:
        return []
    return [
        f"sampler gp models only hyperparameters that every trial has: {in_words(names)} of optimizer {choice.label}, "
        "tried under a condition, may be drawn at random (tpe models them)"
    ]


def _contains(tried: Range | Choices, value: Any) -> bool:
    return tried.contains(value) if isinstance(tried, Choices) or is_number(value) else False


def plain_json(value: Any) -> Any:
    """Convert a value to plain JSON types: tuples become lists, keys become strings.

    Raises:
        UserError: If the value is not finite or has no JSON equivalent.
    """
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise out_of_range("parameter", value, "finite numbers")
    if not isinstance(value, (str, int, float, type(None))):
        raise out_of_range("parameter", value, "numbers, strings, and lists of them")
    return value


def _identity_of(target: str) -> str:
    """The name of code as it enters a cell's hash: a file name without its folder."""
    target = _FORMER.get(target, target)
    location, _, attribute = target.rpartition(":")
    return f"{Path(location).name if location.endswith('.py') else location}:{attribute}"
