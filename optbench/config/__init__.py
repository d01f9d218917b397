"""The configuration of a benchmark: presets, TOML files and explicit choices, merged into one validated object."""

from optbench.config.load import load_config
from optbench.config.schema import Config

__all__ = ["Config", "load_config"]
