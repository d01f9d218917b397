"""The presets: configurations that are known by name."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

from optbench.errors import unknown

PRESETS = ("quick", "standard", "full")


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset as TOML has them; raises UserError for an unknown name."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return {
        "preset": name,
        **tomllib.loads(files("optbench.config.presets").joinpath(f"{name}.toml").read_text("utf-8")),
    }
