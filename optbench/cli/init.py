"""`optbench init`: a configuration to start from, every setting with its meaning and its default.

Meanings are the descriptions of the fields of `config.Config`, values those of a preset, so neither can drift.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from optbench.cli import completion
from optbench.errors import UserError

WIDTH = 100

OWN_OPTIMIZER = """\
# Optimizers of your own, each a table whose name stands in `optimizers`: a `base` that optbench knows or a
# `class`, arguments that are fixed, and what is tuned. For instance:
#
# [optimizer.momentum_tuned]
# base = "momentum"
# search.momentum = { low = 0.5, high = 0.99, scale = "linear" }
"""


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("optbench.toml"), metavar="[FILE]")
@click.option("--preset", "name", default="quick", show_default=True, metavar="NAME", help="Whose values it has.",
              shell_complete=completion.presets)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def init(file: Path, name: str, force: bool) -> None:
    """Write a commented TOML file to start from (default: optbench.toml)."""
    text = template(name)
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UserError(f"{file} is there already (--force overwrites it)") from None
    click.echo(f"{file}\nplan  optbench plan --config {file}\nrun   optbench run --config {file}")


def template(preset_name: str) -> str:
    """A preset as commented TOML, which makes the same plan; raises UserError for an unknown preset."""
    from optbench.config.presets import preset
    from optbench.config.schema import Config, Tuning

    settings = preset(preset_name)
    parts = ["# What optbench runs. A line that begins with `# name =` shows a default; remove the # to change it.\n"]
    tables = {"tuning", "optimizer"}  # TOML has tables after everything else
    parts += _settings(Config, settings, skipped=tables)
    parts.append("[tuning]\n" + "\n".join(_settings(Tuning, settings.get("tuning", {}))))
    parts.append(OWN_OPTIMIZER)
    return "\n".join(parts)


def _settings(model: type[BaseModel], given: Mapping[str, Any], skipped: set[str] | None = None) -> list[str]:
    """Each field of a model as its meaning, and its value, as a comment where nothing is given."""
    parts = []
    for name, field in model.model_fields.items():
        if name in (skipped or ()):
            continue
        meaning = _wrapped(field.description or "")
        line = f"{name} = {_toml(given[name])}" if name in given else f"# {name} = {_default(field)}"
        parts.append("\n".join([*meaning, line]) + "\n")
    return parts


def _wrapped(text: str) -> list[str]:
    """Lines of a comment; what is in backquotes, such as a command, stays on one of them."""
    whole = re.sub("`[^`]*`", lambda quoted: quoted[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    lines = textwrap.wrap(whole, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _default(field: FieldInfo) -> str:
    """A default as TOML; nothing, which TOML can't say, as the first of the field's examples."""
    return _toml(field.examples[0] if field.default is None and field.examples else field.default)


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
        case list() | tuple() if any(isinstance(inner, dict) for inner in value):
            return "[\n" + "".join(f"    {_toml(inner)},\n" for inner in value) + "]"
        case list() | tuple():
            return "[" + ", ".join(_toml(inner) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)  # texts, numbers and booleans are the same in both
