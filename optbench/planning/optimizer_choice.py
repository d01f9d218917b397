"""An optimizer as a cell refers to it: everything that a worker needs to construct and tune it; needs no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from optbench.errors import out_of_range
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.optimizers.search_space import Choices, Range, active, plain
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS, ConfiguredOptimizer
from optbench.planning.execution import Step
from optbench.problem.base import Problem

#: Parts of an identity that older results don't know: left out where they say nothing.
_LATER = ("groups", "partners", "second_backward", "from_run", "reset")


#: Names of code that has moved since, as cells of older results have them in their hash.
_FORMER = {"optbench.optimizers.zoo.sam:sam": "optbench.zoo.sam:sam"}


@dataclass(frozen=True)
class OptimizerChoice:
    """An optimizer with its hyperparameters, its search space on a problem, and what it needs (see `spec`)."""

    label: str
    constructor: str
    arguments: dict[str, Any]
    #: The learning rate and whatever else is tuned, as the optimizer has them untuned.
    defaults: dict[str, Any]
    search: dict[str, Range | Choices]
    needs_closure: bool
    contiguous_parameters: bool
    linear_in_rate: bool | None
    #: Parameter groups by name: patterns of the names of their parameters, or a rule.
    groups: dict[str, tuple[str, ...] | str]
    partners: dict[str, str]
    second_backward: bool
    from_run: dict[str, str]
    reset: str
    source: str

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The parts that decide the numbers, as plain JSON values; of a file only its name and content."""
        named = asdict(self) | {
            "constructor": _identity_of(self.constructor),
            "search": {name: plain(tried) for name, tried in self.search.items()},
            "partners": {group: _identity_of(target) for group, target in self.partners.items()},
            "reset": _identity_of(self.reset) if self.reset else "",
        }
        del named["label"], named["linear_in_rate"]
        for name in _LATER:
            if not named[name]:
                del named[name]
        if revisions := self._revisions():
            named["revisions"] = revisions
        found: dict[str, Any] = plain_json(named)
        return found

    def _revisions(self) -> list[str]:
        """What is computed in another way since cells without this word were stored, so that these are not taken for
        the same: only of what it concerns.
        """
        registered = {spec.constructor for spec in REGISTERED_OPTIMIZERS.values()}
        own = self.constructor not in registered
        lists = any(isinstance(tried, Choices) and tried.structured for tried in self.search.values())
        known = {
            "passes": own and (self.needs_closure or self.second_backward),
            "fixed rate": bool(self.search) and "lr" in self.defaults and "lr" not in self.search,
            "tuples": lists,
        }
        return [name for name, concerned in known.items() if concerned]

    def active(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """Those of the values for all that is searched which have a meaning together."""
        on = active(self.search, hyperparameters)
        return {name: value for name, value in hyperparameters.items() if name not in self.search or name in on}

    @property
    def scheduled(self) -> bool:
        """Whether it brings a schedule of its learning rate of its own."""
        return bool(SCHEDULE_HYPERPARAMETERS.keys() & {*self.arguments, *self.search})

    @property
    def step(self) -> Step:
        """What the choice of an execution asks of it."""
        special = ""
        if self.second_backward:
            special = "the step differentiates gradients"
        elif self.scheduled:
            special = "the optimizer brings its own schedule"
        elif self.from_run or self.reset:
            special = "the optimizer is constructed for each training by itself"
        searched, grouped = frozenset(self.search), bool(self.groups)
        return Step(self.needs_closure, self.linear_in_rate, searched, "lr" in self.defaults, grouped, special)


def choose_optimizer(label: str, chosen: ConfiguredOptimizer, source: str, problem: Problem) -> OptimizerChoice:
    """A configured optimizer on a problem; `source` says of what version its code is."""
    spec, space, values = chosen.spec, chosen.search_space(problem), chosen.defaults
    on = active(space, values)
    rate = {} if chosen.default_lr is None else {"lr": chosen.default_lr}
    return OptimizerChoice(
        label=label,
        constructor=spec.constructor,
        arguments=dict(chosen.arguments),
        defaults={**rate, **{name: values[name] for name in space if name != "lr" and name in on}},
        search=space,
        needs_closure=spec.needs_closure,
        contiguous_parameters=spec.contiguous_parameters,
        linear_in_rate=spec.linear_in_rate,
        groups=dict(spec.groups),
        partners=dict(spec.partners),
        second_backward=spec.second_backward,
        from_run=dict(spec.from_run),
        reset=spec.reset,
        source=source,
    )


def plain_json(value: Any) -> Any:
    """A value as JSON knows it; raises UserError for one that it doesn't know."""
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise out_of_range("parameter", value, "finite numbers")
    if not isinstance(value, (str, int, float, type(None))):
        raise out_of_range("parameter", value, "numbers, texts, and lists of them")
    return value


def _identity_of(target: str) -> str:
    """The name of code as it enters a cell's hash: of a file without its folder."""
    target = _FORMER.get(target, target)
    location, _, attribute = target.rpartition(":")
    return f"{Path(location).name if location.endswith('.py') else location}:{attribute}"
