"""What cells must have in common to be compared, read from their identities: everything except the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: The parts of an identity that describe the tuning: they concern only cells with something to tune.
_TUNING = ("tuning", "priced")
#: The parts that describe the optimizer.
_OWN = ("optimizer", "scheduled")


def has_search_space(identity: Mapping[str, Any]) -> bool:
    """Whether a cell's optimizer has anything to tune."""
    return bool((identity.get("optimizer") or {}).get("search"))


def list_protocol_differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yields the differences of two cells' protocols as (words, new value, old value) (see `list_differences`).

    How cells are tuned differs only if both have something to tune.

    Args:
        new: The identity of a cell (see `planning.matrix.Cell.identity`).
        old: The identity of the cell that it is compared with.
    """
    # Other parts that only one cell has were added for the optimizers that they concern.
    shared = [name for name in new if name in old and name not in (*_OWN, *_TUNING)]
    if has_search_space(new) and has_search_space(old):
        shared += _TUNING
    yield from list_differences({name: new.get(name) for name in shared}, {name: old.get(name) for name in shared})


def list_differences(new: Any, old: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields the differences of two nested mappings as (path, new value, old value); a missing value is None.

    A path is a text such as `tuning worth`.
    """
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for name in dict.fromkeys([*new, *old]):
            words = f"{path} {name}".strip().replace("_", " ")
            yield from list_differences(new.get(name), old.get(name), words)
    elif new != old:
        yield path, new, old
