"""Layers of settings, later ones winning: those of a preset or of stored results, a file's, and explicit choices.

Settings are plain values as TOML has them; `config` validates what they come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench import selection
from optbench.selection import Selection

#: Settings that single problems may have of their own.
_OWN = ("run_budget", "batch_sizes")


@dataclass(frozen=True)
class Base:
    """Settings that stand where a preset's would, and the file in which they are."""

    settings: Mapping[str, Any]
    file: Path


def merged(under: Any, over: Any) -> Any:
    """Tables key by key, anything else as a whole."""
    return {**under, **over} if isinstance(under, dict) and isinstance(over, dict) else over


def applied(settings: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with choices made, of which a dotted key reaches into a table; None and () choose nothing."""
    found = dict(settings)
    for key, value in choices.items():
        if value is None or value == ():
            continue
        table, _, leaf = key.rpartition(".")
        if table:
            found[table] = merged(found.get(table), {leaf: value})
        else:
            found[key] = value
    return without_own(found, choices)


def without_own(settings: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, of which single problems no longer have of their own what is said for all of them."""
    problems = settings.get("problems")
    for key in _OWN:
        if said.get(key) and isinstance(problems, list):
            problems = [
                {k: v for k, v in entry.items() if k != key} if isinstance(entry, dict) else entry for entry in problems
            ]
    return {**settings, "problems": problems} if problems is not None else dict(settings)


def same_problems_alike(base: Base, given: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Given settings, of which the problems that `base` has too have what they have of their own there, unless it is
    said for all of them.
    """
    if not isinstance(given.get("problems"), list):
        return dict(given)
    own = {
        _plain(found): entry
        for entry in base.settings["problems"]
        if isinstance(entry, dict)
        for found in selection.parse(entry["select"])
    }
    chosen = [entry for item in given["problems"] for entry in _as_there(item, own)]
    return without_own({**given, "problems": chosen}, said)


def _as_there(item: Any, own: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """An item of `problems` with what it has of its own; a sweep is taken apart where that is needed."""
    found = selection.parse(item) if isinstance(item, str) else []
    if not any(_plain(one) in own for one in found):
        return [item]
    return [{**own[_plain(one)], "select": str(one)} if _plain(one) in own else str(one) for one in found]


def _plain(chosen: Selection) -> str:
    """A selection whose parameters are in the order of their names."""
    return str(Selection(chosen.name, tuple(sorted(chosen.parameters, key=lambda parameter: parameter[0]))))
