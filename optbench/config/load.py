"""Loads a `Config` by merging presets, TOML files and explicit choices."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from optbench.config.layers import (
    BaseSettings,
    apply_choices,
    drop_problem_settings,
    keep_problem_settings,
    merge_tables,
)
from optbench.config.named_code import check_named_code
from optbench.config.optimizer_table import GroupTable, OptimizerTable, SearchRange
from optbench.config.own_files import complete_files
from optbench.config.presets import preset
from optbench.config.schema import Config, ProblemEntry, Tuning
from optbench.errors import UserError, one_line, out_of_range, unknown
from optbench.optimizers.decorator import target_name


def configure(
    config: Config | None = None,
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    base: BaseSettings | None = None,
    **choices: Any,
) -> Config:
    """Merge a preset, a TOML file and explicit choices into a configuration; later ones win.

    Args:
        config: A complete configuration, returned unchanged if nothing else is given.
        preset: "quick", "standard", "full" or "recipe"; by default the file's preset, then `base`, then "quick".
        file: Path of a TOML file.
        base: Settings that replace the default preset.
        **choices: Settings by TOML key, such as `optimizers=["adam"]` or `seeds=5`; `tuning_worth` stands for
            `tuning.worth`. Optimizers and problems may be classes that are defined in a file.

    Raises:
        UserError: If the result is not a valid configuration.
    """
    if config is not None and not (choices or preset or file):
        return config
    named = {key.replace("tuning_", "tuning.", 1): value for key, value in choices.items()}
    named = {key: list(value) if isinstance(value, (tuple, set)) else value for key, value in named.items()}
    for key in ("problems", "optimizers"):
        if key in named and not isinstance(named[key], str):
            named[key] = [target_name(item) if callable(item) else item for item in named[key]]
    return load_config(preset, Path(file) if file else None, named, base)


def load_config(
    preset_name: str | None = None,
    file: Path | None = None,
    choices: Mapping[str, Any] | None = None,
    base: BaseSettings | None = None,
) -> Config:
    """Merge a preset, a TOML file and explicit choices into a configuration; later ones win.

    If the file has `[optimizer.NAME]` tables but no list of optimizers, these tables are the optimizers.

    Args:
        preset_name: "quick", "standard", "full" or "recipe"; by default the file's preset, then `base`, then "quick".
        file: Path of a TOML file.
        choices: Settings by key of the file; a dotted key refers to an entry of a table (`tuning.worth`). A choice of
            `run_budget` or `batch_sizes` also replaces those that the preset sets for single problems.
        base: Settings that replace the default preset. Chosen problems keep the run budgets and batch sizes that they
            have there.

    Raises:
        UserError: If the result is not a valid configuration, or if a file in a results directory refers to code that
            the user does not name.
    """
    from_file, choices = _read_toml(file) if file else {}, choices or {}
    named = preset_name or from_file.get("preset")
    if base is None or named:
        settings = preset(named or "quick")
    else:
        explicit = {**from_file, **choices}
        if not explicit.get("problems"):
            check_named_code(Config.model_validate({**base.settings, "optimizers": ["adam"]}), base.file, ())
        settings = {"preset": "quick", **base.settings}
        from_file, choices = (keep_problem_settings(base, given, explicit) for given in (from_file, choices))
    if "problems" not in from_file:
        settings = drop_problem_settings(settings, from_file)
    if isinstance(from_file.get("optimizer"), dict) and from_file["optimizer"]:
        settings["optimizers"] = list(from_file["optimizer"])
    for key, value in from_file.items():
        settings[key] = merge_tables(settings.get(key), value)
    settings["preset"] = preset_name or settings["preset"]
    settings = apply_choices(settings, choices)
    if "optimizers" not in settings:
        raise UserError("no optimizer is selected (accepted: --optimizer NAME, or optimizers in a --config FILE)")
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        raise _validation_error(error, f"{file}: " if file else "") from None
    if file:
        check_named_code(
            config, file, [text for key in ("problems", "optimizers") for text in _selections(choices, key)]
        )
    return complete_files(config)


def _selections(choices: Mapping[str, Any] | None, key: str) -> list[str]:
    """The selections under a key of the explicit choices; an entry may be a table."""
    return [item["select"] if isinstance(item, dict) else item for item in (choices or {}).get(key) or ()]


def parse_config(text: str, origin: str) -> Config:
    """Parse a complete configuration, as stored in a results directory.

    Args:
        text: The content of the TOML file.
        origin: Name of the file, for error messages.

    Raises:
        UserError: If the text is not valid TOML or not a valid configuration.
    """
    try:
        return Config.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{origin} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise _validation_error(error, f"{origin}: ") from None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"configuration {file} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"configuration {file} can't be read: {one_line(error)}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"configuration {file} is not valid TOML: {error}") from None


def _validation_error(error: ValidationError, origin: str) -> UserError:
    """Pydantic's first error as one line after `origin`: the key, the given value, what is accepted.

    Unknown keys come first, because a mistyped required key is also reported as missing.
    """
    first = min(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
    # In `problems`, the third part of the location only distinguishes strings from tables.
    parts = [part for position, part in enumerate(first["loc"]) if (first["loc"][0], position) != ("problems", 2)]
    where = ".".join(str(part) for part in parts)
    if first["type"] == "extra_forbidden":
        accepted = [f.alias or name for name, f in _model_at(parts[:-1]).model_fields.items()]
        if not origin and len(parts) == 1:  # keyword arguments
            accepted += ["file", *(f"tuning_{name}" for name in Tuning.model_fields)]
        return UserError(f"{origin}{unknown('key', parts[-1], accepted)} at {where}")
    if first["type"] == "missing":
        return UserError(f"{origin}{where} is missing")
    in_toml = {"tuple_type": "expected a list", "dict_type": "expected a table", "model_type": "expected a table"}
    bounds = {
        "greater_than_equal": "at least",
        "less_than_equal": "at most",
        "greater_than": "above",
        "less_than": "below",
    }
    if first["type"] in bounds:
        [bound] = first["ctx"].values()
        return out_of_range(f"{origin}{where}", first["input"], f"{bounds[first['type']]} {bound}")
    complaint = in_toml.get(first["type"], first["msg"].removeprefix("Value error, ").replace("Tuple", "List"))
    given = "" if repr(first.get("input")) in complaint else f" = {first.get('input')!r}"
    return UserError(f"{origin}{where}{given}: {complaint}")


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
    """Return the default results name: the preset, followed by a short hash if the configuration differs from it.

    The number of seeds does not count, because more seeds extend existing results.
    """
    name = config.preset or "quick"
    preset = load_config(name)
    if config.model_copy(update={"seeds": preset.seeds}) == preset:
        return name
    return f"{name}-{hashlib.sha256(config.model_dump_json(exclude={'seeds'}).encode()).hexdigest()[:6]}"
