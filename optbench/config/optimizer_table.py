"""Validates optimizers that are described in TOML tables, and builds their specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from optbench.errors import UserError
from optbench.optimizers.decay import keep_one_decay
from optbench.optimizers.parameter_groups import compile_rule
from optbench.optimizers.registry import is_count, optimizer_spec, underlying
from optbench.optimizers.schedule import LENGTHS
from optbench.optimizers.search_space import Choices, Condition, Range, check_conditions, make_condition
from optbench.optimizers.spec import RUN_FACTS, OptimizerSpec

# Strict, because in TOML `seeds = true` or `seeds = "3"` is a mistake.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]


class Strict(BaseModel):
    """Base class of the tables: frozen, and without unknown keys and non-finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SearchRange(Strict):
    """The search space of one hyperparameter: a range or a list of values, optionally with a condition.

    With `zero`, 0 is tried in addition to a range. The scale `log_complement` is logarithmic in 1 − value.
    """

    low: Number | None = None
    high: Number | None = None
    scale: Literal["log", "linear", "log_complement"] = "log"
    zero: Annotated[bool, Field(strict=True)] = False
    values: tuple[Any, ...] = ()
    when: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_range(self) -> Self:
        try:
            if self.values and self.low is None and self.high is None and not self.zero:
                Choices(tuple(map(_tuple, self.values)))
            elif self.values or self.low is None or self.high is None:
                raise ValueError("neither a range nor a list (accepted: low and high, or values)")
            else:
                complement = self.scale == "log_complement"
                Range(self.low, self.high, self.scale == "log", zero=self.zero, complement=complement)
        except UserError as error:
            raise ValueError(str(error)) from None
        return self


def _values(entry: Any) -> Any:
    """Convert a list, which is short for a table, to the table with these values."""
    return {"values": entry} if isinstance(entry, (list, tuple)) else entry


SearchEntry = Annotated[SearchRange, BeforeValidator(_values)]


class GroupTable(Strict):
    """A parameter group: its members (patterns of parameter names, or a rule) and its own hyperparameters.

    `arguments` are fixed and `search` is tuned for this group alone. `base` or `class` names another optimizer that
    updates the group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    parameters: tuple[str, ...] = ()
    where: str | None = None
    base: str | None = None
    constructor: str | None = Field(default=None, alias="class")
    arguments: dict[str, Any] = {}
    search: dict[str, SearchEntry] = {}

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        if bool(self.parameters) == (self.where is not None):
            raise ValueError("set either parameters = [PATTERN, …] or where = RULE to select the group's parameters")
        if self.base and self.constructor:
            raise ValueError("set either base = NAME or class = 'module:Class', not both")
        return self


class OptimizerTable(Strict):
    """An optimizer described in TOML: a base optimizer or a class, fixed hyperparameters, and the search space."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    base: str | None = None
    constructor: str | None = Field(default=None, alias="class")
    arguments: dict[str, Any] = {}
    search: dict[str, SearchEntry] = {}
    groups: dict[str, GroupTable] = {}
    default_lr: Number | None = Field(default=None, gt=0)
    from_run: dict[str, Literal[RUN_FACTS]] = {}  # type: ignore[valid-type]
    needs_closure: bool | None = None
    second_backward: bool | None = None
    reset: str | None = None
    contiguous_parameters: bool | None = None


_SWITCHES = ("needs_closure", "contiguous_parameters", "second_backward", "reset")


def build_spec(name: str, table: OptimizerTable) -> OptimizerSpec:
    """Build the spec of an optimizer from its TOML table.

    Args:
        name: The optimizer's name, from `[optimizer.NAME]`.
        table: The table.

    Raises:
        UserError: If the table names something that does not exist or its values do not fit together.
    """
    origin = table.base or table.constructor
    if origin is None or (table.base and table.constructor):
        raise UserError(f"optimizer.{name} needs either base = NAME or class = 'module:Class'")
    arguments = _tuples(table.arguments)
    base = optimizer_spec(origin, table.default_lr or arguments.get("lr"), {*arguments, *table.from_run})
    search = _ranges(name, table.search, base)
    given = {*arguments, *search}
    inherited = keep_one_decay(name, given, base.search)
    fixed = base.configured(arguments)  # rejects arguments that the class does not accept
    rate = search.pop("lr", None)
    if isinstance(rate, Choices):
        raise UserError(f"optimizer.{name}.search.lr is a list (accepted: a table with low and high)")
    switches = {key: value for key in _SWITCHES if (value := getattr(table, key)) is not None}
    spec = replace(
        base,
        name=name,
        arguments=keep_one_decay(name, given, fixed.arguments),
        default_lr=fixed.default_lr if fixed.lr_fixed else table.default_lr or base.default_lr,
        # With a search range, a learning rate among the arguments is the start of tuning; without, it is fixed.
        learning_rate=rate or (None if fixed.lr_fixed else base.learning_rate),
        follows_curvature=bool(base.follows_curvature) and rate is None,
        search={**{key: tried for key, tried in inherited.items() if key not in arguments}, **search},
        fixed_search=base.fixed_search | (base.search.keys() & arguments.keys()) - search.keys(),
        from_run={**base.from_run, **table.from_run},
        **switches,
    )
    for group, entry in table.groups.items():
        spec = _add_group(spec, group, entry)
    check_conditions(f"optimizer.{name}.search", spec.search, spec.known)
    spec.configured({})  # rejects additions that are invalid or don't fit the optimizer
    if spec.partners != base.partners:
        return replace(spec, base=name)  # another class updates a part of the parameters: an optimizer of its own
    return replace(spec, base=underlying(base if table.base else replace(spec, name=base.name)))


def _ranges(name: str, tables: Mapping[str, SearchRange], base: OptimizerSpec) -> dict[str, Range | Choices]:
    """The search space of a table; raises UserError for a hyperparameter that the base does not have."""
    space: dict[str, Range | Choices] = {}
    for key, entry in tables.items():
        if key not in base.known:
            raise replace(base, name=name).unknown_hyperparameter(key, " to search")
        if entry.values:
            space[key] = Choices(_convert_values(base, key, entry.values), _condition(base, entry.when))
        else:
            assert entry.low is not None
            assert entry.high is not None
            # A length is a share if it is below 1, and a number of steps from 1.
            default = 0 if key in LENGTHS else base.hyperparameters.get(key)
            whole = is_count(default, entry.low, entry.high)
            when = _condition(base, entry.when)
            complement = entry.scale == "log_complement"
            space[key] = Range(entry.low, entry.high, entry.scale == "log", whole, when, entry.zero, complement)
    return space


def _condition(base: OptimizerSpec, when: Mapping[str, Any]) -> Condition:
    """Make a condition; a list means several values, or one tuple if the hyperparameter is a tuple."""
    values = {}
    for key, value in when.items():
        one = isinstance(base.known.get(key), tuple) and isinstance(value, list) and not isinstance(value[0], list)
        values[key] = [_tuple(item) for item in ([value] if one else value)] if isinstance(value, list) else value
    return make_condition(values)


def _convert_values(base: OptimizerSpec, key: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Convert the values of a list to the type of the hyperparameter; raises UserError for one that does not fit."""
    hashable = [tuple(value) if isinstance(value, list) else value for value in values]
    if key in base.added:
        return tuple(hashable)  # converted with the spec: in a list, 0 is accepted
    configured = [base.configured({key: value}) for value in hashable]
    return tuple(optimizer.default_lr if key == "lr" else optimizer.arguments[key] for optimizer in configured)


def _add_group(spec: OptimizerSpec, group: str, entry: GroupTable) -> OptimizerSpec:
    """Add a parameter group to an optimizer.

    Hyperparameters that the group neither fixes nor searches are those of the rest, and its searched hyperparameters
    start from the same values as the rest's. A group with another class has that class's hyperparameters and shares
    only those that all `partners` share.
    """
    if not group or "." in group:
        raise UserError(f"invalid group name {group!r} of optimizer {spec.name} (accepted: a name without dots)")
    if entry.where is not None:
        compile_rule(entry.where)
    given = _tuples(entry.arguments)
    origin = entry.base or entry.constructor
    partner = optimizer_spec(origin, given.get("lr") or spec.default_lr, given) if origin else None
    if partner and (partner.groups or partner.needs_closure or partner.second_backward):
        raise UserError(
            f"{origin} can't be the optimizer of a group (accepted: optimizers without groups, closures and second "
            "backward passes)"
        )
    owner = replace(partner, name=f"{spec.name}.{group}") if partner else spec
    owner.refuse_in_group(f"{spec.name}.{group}", {**owner.arguments, **given, **entry.search} if partner else given)
    fixed = owner.configured(given)
    own = {key: fixed.default_lr if key == "lr" else fixed.arguments[key] for key in given}
    always = {**partner.arguments, **own} if partner else own
    ranges = _ranges(f"{spec.name}.{group}", entry.search, owner)
    defaults = {**owner.known, **owner.arguments} | ({} if partner else {"lr": spec.default_lr})
    # An entry of a tuple, such as beta1, is one of the group's own tuple.
    names = [owner.entries[key][0] if key in owner.entries else key for key in (*always, *ranges)]
    return replace(
        spec,
        arguments={**spec.arguments, **{f"{group}.{k}": value for k, value in always.items() if k not in ranges}},
        hyperparameters={
            **spec.hyperparameters,
            **{f"{group}.{key}": own.get(key, defaults.get(key)) for key in dict.fromkeys(names)},
        },
        search={**spec.search, **{f"{group}.{key}": tried for key, tried in ranges.items()}},
        groups={**spec.groups, group: entry.where if entry.where is not None else entry.parameters},
        partners={**spec.partners, **({group: partner.constructor} if partner else {})},
        averages=spec.averages or (partner is not None and partner.averages),
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _tuples(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Convert TOML lists among the arguments to tuples, as in selections."""
    return {key: _tuple(value) for key, value in arguments.items()}
