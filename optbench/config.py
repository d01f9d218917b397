"""What to run: presets, TOML files and command-line choices, merged into one frozen object.

Only here is input validated by pydantic; everything downstream uses plain frozen dataclasses.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
)

from optbench.budget import parse_budget
from optbench.errors import UserError, one_line, unknown
from optbench.named_code import check_named_code
from optbench.optimizer_table import GroupTable, Number, OptimizerTable, SearchRange, Strict, Whole
from optbench.settings import Base, applied, merged, same_problems_alike, without_own

PRESETS = ("quick", "standard", "full")
SAMPLERS = ("tpe", "random", "quasi-random", "gp", "grid")
PRUNERS = ("none", "median", "successive-halving")


class ProblemEntry(Strict):
    """A problem with a run budget or batch sizes of its own."""

    select: str
    run_budget: str | None = None
    batch_sizes: tuple[Whole, ...] = ()

    @field_validator("run_budget")
    @classmethod
    def _is_amount(cls, text: str | None) -> str | None:
        return _checked_budget(text)


class Tuning(Strict):
    """How the learning rate of a cell is found; `worth` is the tuning budget in run budgets.

    `round` trials are proposed together, from the results of the rounds before. `studies` tunings are made, of which
    the first decides; the others show how much luck is in one.
    """

    worth: Number = Field(
        default=4.0, ge=0, le=1e6, description="What tuning may spend, in run budgets. 0 tunes nothing."
    )
    round: Whole | None = Field(
        default=None, ge=1, examples=[2],
        description="Trials that are proposed and trained together; unset, a quarter of the trials, two at least.",
    )  # fmt: skip
    sampler: str = Field(default="tpe", description=f"What proposes trials: {', '.join(SAMPLERS)}.")
    pruner: str = Field(default="none", description=f"What ends trials early: {', '.join(PRUNERS)}.")
    studies: Whole = Field(
        default=1, ge=1, le=1000, description="Tunings of a cell; the first decides, others show how much was luck."
    )

    @field_validator("worth")
    @classmethod
    def _affords_a_trial(cls, worth: float) -> float:
        if 0 < worth < 1:
            raise ValueError("not even one trial fits into less than one run budget (accepted: 0, or at least 1)")
        return worth

    @property
    def trials_a_round(self) -> int:
        """As chosen, or four rounds, of at least two trials each."""
        return self.round or max(2, math.ceil(self.worth / 4))

    @field_validator("sampler")
    @classmethod
    def _is_sampler(cls, name: str) -> str:
        return _one_of("sampler", name, SAMPLERS)

    @field_validator("pruner")
    @classmethod
    def _is_pruner(cls, name: str) -> str:
        return _one_of("pruner", name, PRUNERS)


_TextOrEntry = Annotated[
    Annotated[str, Tag("text")] | Annotated[ProblemEntry, Tag("table")],
    Discriminator(lambda value: "table" if isinstance(value, (dict, ProblemEntry)) else "text"),
]


class Config(Strict):
    """One benchmark, completely described (but for where its data lies and who computes it)."""

    preset: str | None = Field(
        default=None, description="The preset whose settings hold where this file says nothing: quick, standard, full."
    )
    problems: tuple[_TextOrEntry, ...] = Field(
        min_length=1,
        description="Problems, parameters in brackets, a list of values sweeps; as a table where one has a run_budget "
        "or batch_sizes of its own. `optbench list problems` shows them.",
    )
    optimizers: tuple[str, ...] = Field(
        min_length=1,
        description='Optimizers, parameters in brackets: "momentum[momentum=[0.5,0.9]]", "my_opt.py:MyOpt". '
        "`optbench list optimizers` shows them.",
    )
    batch_sizes: tuple[Whole, ...] = Field(
        default=(), description="Examples a batch, of all problems. Empty: as each says."
    )
    devices: tuple[str, ...] = Field(
        default=("auto",), min_length=1, description="auto is the fastest there is; cpu, cuda, cuda:1, …"
    )
    schedules: tuple[str, ...] = Field(
        default=("constant",), min_length=1,
        description="Of the learning rate: constant, linear, cosine[warmup=…], step[at=…,factor=…].",
    )  # fmt: skip
    seeds: Whole = Field(
        default=3, ge=1, lt=1_000_000, description="Final runs of a cell, on fresh seeds. Few seeds decide nothing."
    )
    run_budget: str | None = Field(
        default=None, examples=["2epochs"],
        description='Of each run: "2epochs", "20000examples" or "30seconds". Unset: as each problem says.',
    )  # fmt: skip
    evaluations: Whole = Field(default=10, ge=1, description="Evaluations during a run.")
    threads: Whole = Field(default=1, ge=1, le=4096, description="CPU threads of a training.")
    tuning: Tuning = Tuning()
    optimizer: dict[str, OptimizerTable] = Field(default_factory=dict)

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
    preset_name: str | None = None,
    file: Path | None = None,
    choices: Mapping[str, Any] | None = None,
    base: Base | None = None,
) -> Config:
    """Merges a preset (`base`, or quick, where none is named), a TOML file and explicit choices, later ones winning.

    `preset_name` is "quick", "standard" or "full", `file` a path.

    `choices` has the keys of the file; a dotted key reaches into a table (`tuning.worth`). A choice
    of `run_budget` or `batch_sizes` also replaces those that the preset gives to single problems; a problem of `base`
    that is chosen keeps what that gives to it. A file that describes optimizers and names none names these. Raises
    UserError for what is no configuration, and for code that only a file in a results directory names.
    """
    from_file, choices = _read_toml(file) if file else {}, choices or {}
    named = preset_name or from_file.get("preset")
    if base is None or named:
        settings = preset(named or "quick")
    else:
        said = {**from_file, **choices}
        if not said.get("problems"):
            check_named_code(Config.model_validate({**base.settings, "optimizers": ["adam"]}), base.file, ())
        settings = {"preset": "quick", **base.settings}
        from_file, choices = (same_problems_alike(base, given, said) for given in (from_file, choices))
    if "problems" not in from_file:
        settings = without_own(settings, from_file)
    if isinstance(from_file.get("optimizer"), dict) and from_file["optimizer"]:
        settings["optimizers"] = list(from_file["optimizer"])
    for key, value in from_file.items():
        settings[key] = merged(settings.get(key), value)
    settings["preset"] = preset_name or settings["preset"]
    settings = applied(settings, choices)
    if "optimizers" not in settings:
        raise UserError("no optimizer is named (accepted: --optimizer NAME, or optimizers in a --config FILE)")
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        raise _located(error, str(file) if file else "configuration") from None
    if file:
        check_named_code(config, file, [text for key in ("problems", "optimizers") for text in _texts(choices, key)])
    return config


def _texts(choices: Mapping[str, Any] | None, key: str) -> list[str]:
    """The selections among explicit choices; one of them may be a table."""
    return [item["select"] if isinstance(item, dict) else item for item in (choices or {}).get(key) or ()]


def parse_config(text: str, origin: str) -> Config:
    """Reads a complete configuration, as a results directory holds it."""
    try:
        return Config.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{origin} is no TOML: {error}") from None
    except ValidationError as error:
        raise _located(error, origin) from None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"configuration {file} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"configuration {file} can't be read: {one_line(error)}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"configuration {file} is no TOML: {error}") from None


def _checked_budget(text: str | None) -> str | None:
    if text is not None:
        try:
            parse_budget(text)
        except UserError as error:
            raise ValueError(str(error)) from None
    return text


def _one_of(what: str, name: str, accepted: tuple[str, ...]) -> str:
    if name not in accepted:
        raise ValueError(str(unknown(what, name, accepted)))
    return name


def _located(error: ValidationError, origin: str) -> UserError:
    """Pydantic's first complaint as one line: where it is, what was given, what is accepted.

    Unknown keys go before all else: a mistyped key is also a missing one.
    """
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    # Within `problems`, the third part tells a text from a table.
    parts = [part for place, part in enumerate(first["loc"]) if (first["loc"][0], place) != ("problems", 2)]
    where = ".".join(str(part) for part in parts)
    if first["type"] == "extra_forbidden":
        accepted = [f.alias or name for name, f in _model_at(parts[:-1]).model_fields.items()]
        return UserError(f"{origin}: {unknown('key', parts[-1], accepted)} at {where}")
    if first["type"] == "missing":
        return UserError(f"{origin}: {where} is missing")
    in_toml = {"tuple_type": "expected a list", "dict_type": "expected a table", "model_type": "expected a table"}
    complaint = in_toml.get(first["type"], first["msg"].removeprefix("Value error, ").replace("Tuple", "List"))
    return UserError(f"{origin}: {where} = {first.get('input')!r}: {complaint}")


def _model_at(location: Sequence[int | str]) -> type[BaseModel]:
    match location:
        case ["tuning", *_]:
            return Tuning
        case ["problems", *_]:
            return ProblemEntry
        case ["optimizer", _, "groups", _]:
            return GroupTable
        case ["optimizer", _, "search", _] | ["optimizer", _, "groups", _, "search", _]:
            return SearchRange
        case ["optimizer", _]:
            return OptimizerTable
        case _:
            return Config
