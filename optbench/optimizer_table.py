"""Optimizers as TOML describes them, validated; what they mean is in `described`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from optbench.errors import UserError
from optbench.ranges import Choices, Range
from optbench.spec import RUN_FACTS

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
                Choices(self.values)
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
