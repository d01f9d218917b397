"""The verb `optbench init`, which writes a configuration with the meaning and the default of every setting.

The meanings are the descriptions of the fields of `config.schema.Config` and the values are those of a preset, so
the file cannot become outdated.
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
# Define your own optimizers here, each as a table, and add its name to `optimizers`. A table has a `base` (an
# optimizer of optbench) or a `class`, fixed arguments, and the hyperparameters to tune. For example:
#
# [optimizer.momentum_tuned]
# base = "momentum"
# search.momentum = { low = 0.5, high = 0.99, scale = "linear" }
"""


@click.command(short_help="Write a configuration file to start from.")
@click.argument("file", type=click.Path(path_type=Path), default=Path("optbench.toml"), metavar="[FILE]")
@click.option("--preset", "name", default="quick", show_default=True, metavar="NAME",
              help="Preset whose values the file contains.", shell_complete=completion.complete_presets)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def init(file: Path, name: str, force: bool) -> None:
    """Write a configuration file (TOML) to start from, with a comment on every setting (default: optbench.toml)."""
    text = template(name)
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UserError(f"{file} already exists (--force overwrites it)") from None
    click.echo(f"{file}\nplan  optbench plan --config {file}\nrun   optbench run --config {file}")


def template(preset_name: str) -> str:
    """Returns a preset as commented TOML, which results in the same plan as the preset itself.

    Raises:
        UserError: The preset is unknown.
    """
    from optbench.config.presets import preset
    from optbench.config.schema import Config, Ladder, Tuning

    settings = preset(preset_name)
    parts = [
        "# Configuration of optbench. A line that begins with `# name =` shows a default; remove the # to change it.\n"
    ]
    tables = {"tuning", "ladder", "optimizer"}  # in TOML, tables follow all plain keys
    parts += _settings(Config, settings, skipped=tables)
    parts.append("[tuning]\n" + "\n".join(_settings(Tuning, settings.get("tuning", {}))))
    parts.append("[ladder]\n" + "\n".join(_settings(Ladder, settings.get("ladder", {}))))
    parts.append(OWN_OPTIMIZER)
    for optimizer, table in settings.get("optimizer", {}).items():
        lines = [f"{key} = {_toml(value)}\n" for key, value in table.items() if key != "search"]
        search = [f"{_key(key)} = {_toml(value)}\n" for key, value in table.get("search", {}).items()]
        heading = f"\n[optimizer.{optimizer}.search]\n" if search else ""
        parts.append(f"[optimizer.{optimizer}]\n{''.join(lines)}{heading}{''.join(search)}")
    return "\n".join(parts)


def _settings(model: type[BaseModel], given: Mapping[str, Any], skipped: set[str] | None = None) -> list[str]:
    """Formats each field of a model as a comment with its meaning, then its value or a commented-out default."""
    parts = []
    for name, field in model.model_fields.items():
        if name in (skipped or ()):
            continue
        meaning = _wrap_comment(field.description or "")
        line = f"{name} = {_toml(given[name])}" if name in given else f"# {name} = {_default(field)}"
        parts.append("\n".join([*meaning, line]) + "\n")
    return parts


def _wrap_comment(text: str) -> list[str]:
    """Wraps a text into comment lines without breaking inside backquotes, so that commands stay on one line."""
    whole = re.sub("`[^`]*`", lambda quoted: quoted[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    lines = textwrap.wrap(whole, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _default(field: FieldInfo) -> str:
    """Formats a default as TOML. TOML has no null: a default of None is shown as the field's first example."""
    return _toml(field.examples[0] if field.default is None and field.examples else field.default)


def _key(name: str) -> str:
    """Formats a key of a TOML table, in quotes if it contains a dot."""
    return json.dumps(name) if "." in name else name


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
        case list() | tuple() if any(isinstance(inner, dict) for inner in value):
            return "[\n" + "".join(f"    {_toml(inner)},\n" for inner in value) + "]"
        case list() | tuple():
            return "[" + ", ".join(_toml(inner) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)  # strings, numbers and booleans look the same in JSON and TOML
