"""Optimizers as TOML describes them, validated; what they mean is in `described`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from optbench.errors import UserError, unknown
from optbench.optimizers.parameter_groups import rule
from optbench.optimizers.registry import counts, optimizer_spec
from optbench.optimizers.search_space import Choices, Condition, Range, check_conditions, condition
from optbench.optimizers.spec import RUN_FACTS, OptimizerSpec

# As TOML has them: `seeds = true` or `seeds = "3"` is a mistake, not a number.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SearchRange(Strict):
    """A range to tune over, or a list of values, and under which condition."""

    low: Number | None = None
    high: Number | None = None
    scale: Literal["log", "linear"] = "log"
    values: tuple[Any, ...] = ()
    when: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_range(self) -> Self:
        try:
            if self.values and self.low is None and self.high is None:
                Choices(tuple(map(_tuple, self.values)))
            elif self.values or self.low is None or self.high is None:
                raise ValueError("neither a range nor a list (accepted: low and high, or values)")
            else:
                Range(self.low, self.high, self.scale == "log")
        except UserError as error:
            raise ValueError(str(error)) from None
        return self


def _values(entry: Any) -> Any:
    """A list in place of a table: its values."""
    return {"values": entry} if isinstance(entry, (list, tuple)) else entry


Searched = Annotated[SearchRange, BeforeValidator(_values)]


class GroupTable(Strict):
    """A parameter group: patterns of the parameters' names or a rule, what is fixed or tuned for them alone, and
    the class that steps them where that is another one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    parameters: tuple[str, ...] = ()
    where: str | None = None
    base: str | None = None
    constructor: str | None = Field(default=None, alias="class")
    arguments: dict[str, Any] = {}
    search: dict[str, Searched] = {}

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if bool(self.parameters) == (self.where is not None):
            raise ValueError("either parameters = [PATTERN, …] or where = RULE says which parameters are in it")
        if self.base and self.constructor:
            raise ValueError("either base = NAME or class = 'module:Class', not both")
        return self


class OptimizerTable(Strict):
    """An optimizer described in TOML: a base or a class, what is fixed, what is tuned."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    base: str | None = None
    constructor: str | None = Field(default=None, alias="class")
    arguments: dict[str, Any] = {}
    search: dict[str, Searched] = {}
    groups: dict[str, GroupTable] = {}
    default_lr: Number | None = Field(default=None, gt=0)
    from_run: dict[str, Literal[RUN_FACTS]] = {}  # type: ignore[valid-type]
    needs_closure: bool | None = None
    second_backward: bool | None = None
    reset: str | None = None
    contiguous_parameters: bool | None = None


_SWITCHES = ("needs_closure", "contiguous_parameters", "second_backward", "reset")


def described_optimizer(name: str, table: OptimizerTable) -> OptimizerSpec:
    """The spec of an optimizer that a TOML table describes; raises UserError where the table makes no sense."""
    origin = table.base or table.constructor
    if origin is None or (table.base and table.constructor):
        raise UserError(f"optimizer.{name} needs either base = NAME or class = 'module:Class'")
    arguments = _tuples(table.arguments)
    base = optimizer_spec(origin, table.default_lr or arguments.get("lr"), {*arguments, *table.from_run})
    search = _ranges(name, table.search, base)
    fixed = base.configured(arguments)  # refuses arguments that the class doesn't take
    rate = search.pop("lr", None)
    if isinstance(rate, Choices):
        raise UserError(f"optimizer.{name}.search.lr is a list (accepted: a table with low and high)")
    switches = {key: value for key in _SWITCHES if (value := getattr(table, key)) is not None}
    described = replace(
        base,
        name=name,
        arguments=fixed.arguments,
        default_lr=fixed.default_lr if fixed.lr_fixed else table.default_lr or base.default_lr,
        # A learning rate among the arguments is where tuning starts, or fixed where no range is given.
        learning_rate=rate or (None if fixed.lr_fixed else base.learning_rate),
        follows_curvature=base.follows_curvature and rate is None,
        search={**{key: found for key, found in base.search.items() if key not in arguments}, **search},
        from_run={**base.from_run, **table.from_run},
        **switches,
    )
    for group, entry in table.groups.items():
        described = _with_group(described, group, entry)
    check_conditions(f"optimizer.{name}.search", described.search, described.known)
    return described


def _ranges(name: str, tables: Mapping[str, SearchRange], base: OptimizerSpec) -> dict[str, Range | Choices]:
    """The ranges of a table; raises UserError for a hyperparameter that the base doesn't have."""
    found: dict[str, Range | Choices] = {}
    for key, entry in tables.items():
        if key not in base.known:
            raise unknown(f"hyperparameter of {name} to search", key, base.known)
        if entry.values:
            found[key] = Choices(_checked(base, key, entry.values), _condition(base, entry.when))
        else:
            assert entry.low is not None
            assert entry.high is not None
            whole = counts(base.hyperparameters.get(key), entry.low, entry.high)
            when = _condition(base, entry.when)
            found[key] = Range(entry.low, entry.high, entry.scale == "log", whole, when)
    return found


def _condition(base: OptimizerSpec, when: Mapping[str, Any]) -> Condition:
    """A condition in which lists stand for several values, or for one tuple where the hyperparameter is a tuple."""
    plain = {}
    for key, value in when.items():
        one = isinstance(base.known.get(key), tuple) and isinstance(value, list) and not isinstance(value[0], list)
        plain[key] = [_tuple(item) for item in ([value] if one else value)] if isinstance(value, list) else value
    return condition(plain)


def _checked(base: OptimizerSpec, key: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Values of a list, each in the type of the hyperparameter; raises UserError for one that doesn't fit."""
    plain = (tuple(value) if isinstance(value, list) else value for value in values)
    configured = [base.configured({key: value}) for value in plain]
    return tuple(one.default_lr if key == "lr" else one.arguments[key] for one in configured)


def _with_group(spec: OptimizerSpec, group: str, entry: GroupTable) -> OptimizerSpec:
    """An optimizer with one parameter group more.

    What a group doesn't fix or search is as in the rest. Its searched hyperparameters start where the rest's do. A
    group of another class has that one's, and of the rest only what `partners` share.
    """
    if not group or "." in group:
        raise UserError(f"group {group!r} of {spec.name} has no proper name (accepted: a name without dots)")
    if entry.where is not None:
        rule(entry.where)
    given = _tuples(entry.arguments)
    origin = entry.base or entry.constructor
    partner = optimizer_spec(origin, given.get("lr") or spec.default_lr, given) if origin else None
    if partner and (partner.groups or partner.needs_closure or partner.second_backward):
        raise UserError(f"{origin} can't be the optimizer of a group (accepted: one of a plain step, without groups)")
    owner = replace(partner, name=f"{spec.name}.{group}") if partner else spec
    fixed = owner.configured(given)
    own = {key: fixed.default_lr if key == "lr" else fixed.arguments[key] for key in given}
    always = {**partner.arguments, **own} if partner else own
    ranges = _ranges(f"{spec.name}.{group}", entry.search, owner)
    defaults = {**owner.known, **owner.arguments} | ({} if partner else {"lr": spec.default_lr})
    return replace(
        spec,
        arguments={**spec.arguments, **{f"{group}.{k}": value for k, value in always.items() if k not in ranges}},
        hyperparameters={
            **spec.hyperparameters,
            **{f"{group}.{key}": own.get(key, defaults.get(key)) for key in {**always, **ranges}},
        },
        search={**spec.search, **{f"{group}.{key}": found for key, found in ranges.items()}},
        groups={**spec.groups, group: entry.where if entry.where is not None else entry.parameters},
        partners={**spec.partners, **({group: partner.constructor} if partner else {})},
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _tuples(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the grammar has them: TOML's lists as tuples."""
    return {key: _tuple(value) for key, value in arguments.items()}
