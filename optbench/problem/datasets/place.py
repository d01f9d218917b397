"""What a problem's `data` says where it is no name: a path, which may be relative or begin with `~`."""

from __future__ import annotations

import os
from pathlib import Path


def is_place(data: str) -> bool:
    """Whether a text is meant as a path, whatever lies there."""
    return data.startswith(("~", ".")) or "/" in data or os.sep in data


def path_of(data: str) -> Path:
    """The path that a text names."""
    return Path(os.path.expanduser(data))  # noqa: PTH111  (Path's raises for unknown users)


def base_name(data: str) -> str:
    """The last part of the path that a text names, as it is shown in labels."""
    return Path(os.path.abspath(path_of(data))).name  # noqa: PTH100  (a link keeps its own name)
