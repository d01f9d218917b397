"""The presets: configurations that come with optbench and are selected by name."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

from optbench.errors import unknown

PRESETS = ("quick", "standard", "full", "recipe")


def preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset as plain TOML values.

    Raises:
        UserError: If the name is unknown.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return {
        "preset": name,
        **tomllib.loads(files("optbench.config.presets").joinpath(f"{name}.toml").read_text("utf-8")),
    }
