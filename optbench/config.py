"""What to run: presets, TOML files and command-line choices, merged into one frozen object.

Only here is input validated by pydantic; everything downstream uses plain frozen dataclasses.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from optbench.budget import parse_budget
from optbench.errors import UserError, unknown

PRESETS = ("quick", "standard", "full")
SAMPLERS = ("tpe", "random", "quasi-random", "gp", "grid")
PRUNERS = ("none", "median", "successive-halving")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ProblemEntry(_Strict):
    """A problem with a run budget or batch sizes of its own."""

    select: str
    run_budget: str | None = None
    batch_sizes: tuple[int, ...] = ()

    @field_validator("run_budget")
    @classmethod
    def _is_amount(cls, text: str | None) -> str | None:
        return _checked_budget(text)


class SearchRange(_Strict):
    """A range to tune over."""

    low: float
    high: float
    scale: Literal["log", "linear"] = "log"


class OptimizerTable(_Strict):
    """An optimizer described in TOML: a base or a class, what is fixed, what is tuned."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    base: str | None = None
    constructor: str | None = Field(default=None, alias="class")
    arguments: dict[str, Any] = {}
    search: dict[str, SearchRange] = {}
    default_lr: float | None = Field(default=None, gt=0)
    needs_closure: bool | None = None
    contiguous_parameters: bool | None = None


class Tuning(_Strict):
    """How the learning rate of a cell is found; `worth` is the tuning budget in run budgets."""

    worth: float = Field(default=4, ge=0)
    sampler: Literal["tpe", "random", "quasi-random", "gp", "grid"] = "tpe"
    pruner: Literal["none", "median", "successive-halving"] = "none"


class Config(_Strict):
    """One benchmark, completely described (but for where its data lies and who computes it)."""

    preset: str | None = None
    problems: tuple[str | ProblemEntry, ...] = Field(min_length=1)
    optimizers: tuple[str, ...] = Field(min_length=1)
    batch_sizes: tuple[int, ...] = ()
    devices: tuple[str, ...] = Field(default=("auto",), min_length=1)
    schedules: tuple[str, ...] = Field(default=("constant",), min_length=1)
    seeds: int = Field(default=3, ge=1, lt=1_000_000)
    run_budget: str | None = None
    evaluations: int = Field(default=10, ge=1)
    threads: int = Field(default=1, ge=1)
    tuning: Tuning = Tuning()
    optimizer: dict[str, OptimizerTable] = {}

    @field_validator("run_budget")
    @classmethod
    def _is_amount(cls, text: str | None) -> str | None:
        return _checked_budget(text)

    def toml(self) -> str:
        """The configuration as TOML; `load_config` reads the same object back."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True, by_alias=True))


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset as TOML has them; raises UserError for an unknown name."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return {
        "preset": name,
        **tomllib.loads(files("optbench.presets").joinpath(f"{name}.toml").read_text("utf-8")),
    }


def load_config(
    preset_name: str | None = None, file: Path | None = None, choices: Mapping[str, Any] | None = None
) -> Config:
    """Merges a preset (quick where none is named), a TOML file and explicit choices, later ones winning.

    `choices` has the keys of the file; a dotted key reaches into a table (`tuning.worth`). A choice
    of `run_budget` or `batch_sizes` also replaces those that the preset gives to single problems.
    """
    from_file = _read_toml(file) if file else {}
    settings = preset(preset_name or from_file.get("preset") or "quick")
    for key, value in from_file.items():
        merged = {**settings.get(key, {}), **value} if isinstance(value, dict) else value
        settings[key] = merged
    _apply(settings, choices or {})
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise _located(error, str(file) if file else "configuration") from None


def parse_config(text: str, origin: str) -> Config:
    """Reads a complete configuration, as a results directory holds it."""
    try:
        return Config.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{origin} is no TOML: {error}") from None
    except ValidationError as error:
        raise _located(error, origin) from None


def _apply(settings: dict[str, Any], choices: Mapping[str, Any]) -> None:
    for key, value in choices.items():
        if value is None or value == ():
            continue
        table, _, leaf = key.rpartition(".")
        if table:
            settings[table] = {**settings.get(table, {}), leaf: value}
        else:
            settings[key] = value
    for key in ("run_budget", "batch_sizes"):
        if choices.get(key):
            settings["problems"] = [
                {k: v for k, v in entry.items() if k != key} if isinstance(entry, dict) else entry
                for entry in settings["problems"]
            ]


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"configuration {file} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"configuration {file} can't be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"configuration {file} is no TOML: {error}") from None


def _checked_budget(text: str | None) -> str | None:
    if text is not None:
        try:
            parse_budget(text)
        except UserError as error:
            raise ValueError(str(error)) from None
    return text


def _located(error: ValidationError, origin: str) -> UserError:
    """Pydantic's first complaint as one line: where it is, what was given, what is accepted."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("str", "ProblemEntry"))
    if first["type"] == "extra_forbidden":
        model = _model_at(first["loc"][:-1])
        accepted = [f.alias or name for name, f in model.model_fields.items()]
        return UserError(f"{origin}: {unknown('key', first['loc'][-1], accepted)} at {where}")
    return UserError(f"{origin}: {where} = {first.get('input')!r}: {first['msg'].removeprefix('Value error, ')}")


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    if not location:
        return Config
    if location[0] == "optimizer":
        return SearchRange if "search" in location else OptimizerTable
    return {"tuning": Tuning, "problems": ProblemEntry}.get(str(location[0]), Config)
