"""Paths in a problem's `data` parameter, which may be relative or begin with `~`."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path


def is_path(data: str) -> bool:
    """Whether `data` has the form of a path instead of a name; the path need not exist."""
    return data.startswith(("~", ".")) or "/" in data or os.sep in data


def path_of(data: str) -> Path:
    """Return the path that `data` names, with `~` expanded."""
    return Path(os.path.expanduser(data))  # noqa: PTH111  (Path.expanduser raises for unknown users)


def base_name(data: str) -> str:
    """Return the last component of the path that `data` names."""
    return Path(os.path.abspath(path_of(data))).name  # noqa: PTH100  (Path.resolve would replace a link's name by its target's)


def shown_name(data: str, named: Container[str]) -> str:
    """Return how labels show the path that `data` names: its last component, after `./` if a data set has that name.

    Args:
        data: The path.
        named: The names of data sets.
    """
    name = base_name(data)
    return f"./{name}" if name in named else name
