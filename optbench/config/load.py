"""Presets, TOML files and explicit choices, merged into one `Config`."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from optbench.config.layers import Base, applied, merged, same_problems_alike, without_own
from optbench.config.named_code import check_named_code
from optbench.config.optimizer_table import GroupTable, OptimizerTable, SearchRange
from optbench.config.presets import preset
from optbench.config.schema import Config, ProblemEntry, Tuning
from optbench.errors import UserError, one_line, unknown
from optbench.optimizers.decorator import target


def configure(
    config: Config | None = None,
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    base: Base | None = None,
    **choices: Any,
) -> Config:
    """A configuration from a `preset`, a TOML `file` and `choices` such as `optimizers=["adam"]`, `seeds=5`; later
    ones win. `config` is returned as it is where nothing else is given.

    Where no preset is named it is `quick`, or `base` in its place. Choices have the names of the TOML keys, the fields
    of `Config`; `tuning_worth` stands for `tuning.worth`. Optimizers and problems may be classes that are in a file.
    Raises UserError where the result is not a valid configuration.
    """
    if config is not None and not (choices or preset or file):
        return config
    named = {key.replace("tuning_", "tuning.", 1): value for key, value in choices.items()}
    named = {key: list(value) if isinstance(value, (tuple, set)) else value for key, value in named.items()}
    for key in ("problems", "optimizers"):
        if key in named and not isinstance(named[key], str):
            named[key] = [target(item) if callable(item) else item for item in named[key]]
    return load_config(preset, Path(file) if file else None, named, base)


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


def default_name(config: Config) -> str:
    """The preset's name; with a short hash of the configuration where it isn't the plain preset.

    The number of seeds is left out: more of them extend what is there.
    """
    name = config.preset or "quick"
    preset = load_config(name)
    if config.model_copy(update={"seeds": preset.seeds}) == preset:
        return name
    return f"{name}-{hashlib.sha256(config.model_dump_json(exclude={'seeds'}).encode()).hexdigest()[:6]}"
