"""In what two cells differ, in words: what makes a comparison unfair is named, not only found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def protocol(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a cell has in common with all that it may be compared with: everything but its optimizer."""
    return {name: value for name, value in identity.items() if name != "optimizer"}


def differences(new: Any, old: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each place in which two nested values differ, such as `tuning worth`, with both values (None: missing)."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for name in dict.fromkeys([*new, *old]):
            words = f"{path} {name}".strip().replace("_", " ")
            yield from differences(new.get(name), old.get(name), words)
    elif new != old:
        yield path, new, old
