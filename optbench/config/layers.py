"""Merges layers of settings. Later layers win: a preset or stored results, then a file, then explicit choices.

Settings are plain TOML values here; `Config` validates the merged result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench import selection
from optbench.selection import Selection

#: Settings that can also be set for a single problem.
_PROBLEM_SETTINGS = ("run_budget", "batch_sizes")


@dataclass(frozen=True)
class BaseSettings:
    """Settings that replace those of a preset, and the file that contains them."""

    settings: Mapping[str, Any]
    file: Path


def merge_tables(under: Any, over: Any) -> Any:
    """Merge two values: tables key by key; any other value of `over` replaces that of `under`."""
    return {**under, **over} if isinstance(under, dict) and isinstance(over, dict) else over


def apply_choices(settings: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Apply explicit choices to settings.

    Args:
        settings: The settings, which are not modified.
        choices: Values by key. A dotted key such as `tuning.worth` refers to an entry of a table; None and () leave the
            setting as it is. A choice of `run_budget` or `batch_sizes` also replaces that of single problems.
    """
    result = dict(settings)
    for key, value in choices.items():
        if value is None or value == ():
            continue
        table, _, leaf = key.rpartition(".")
        if table:
            result[table] = merge_tables(result.get(table), {leaf: value})
        else:
            result[key] = value
    return drop_problem_settings(result, choices)


def drop_problem_settings(settings: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Remove from single problems those settings that `common` sets for all problems.

    Args:
        settings: The settings, which are not modified.
        common: Settings that apply to all problems.
    """
    problems = settings.get("problems")
    for key in _PROBLEM_SETTINGS:
        if common.get(key) and isinstance(problems, list):
            problems = [
                {k: v for k, v in entry.items() if k != key} if isinstance(entry, dict) else entry for entry in problems
            ]
    return {**settings, "problems": problems} if problems is not None else dict(settings)


def keep_problem_settings(base: BaseSettings, given: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Give the problems in `given` the run budgets and batch sizes that the same problems have in `base`.

    Args:
        base: The settings in which problems may have their own run budgets and batch sizes.
        given: The settings to complete, which are not modified.
        common: Settings that apply to all problems and take precedence.
    """
    if not isinstance(given.get("problems"), list):
        return dict(given)
    entries = {
        _sort_parameters(chosen): entry
        for entry in base.settings["problems"]
        if isinstance(entry, dict)
        for chosen in selection.parse(entry["select"])
    }
    problems = [entry for item in given["problems"] for entry in _complete(item, entries)]
    return drop_problem_settings({**given, "problems": problems}, common)


def _complete(item: Any, entries: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Complete an item of `problems` with the settings in `entries`; a sweep is split if they differ."""
    selections = selection.parse(item) if isinstance(item, str) else []
    if not any(_sort_parameters(chosen) in entries for chosen in selections):
        return [item]
    return [
        {**entries[key], "select": str(chosen)} if (key := _sort_parameters(chosen)) in entries else str(chosen)
        for chosen in selections
    ]


def _sort_parameters(chosen: Selection) -> str:
    """A selection with its parameters sorted by name."""
    return str(Selection(chosen.name, tuple(sorted(chosen.parameters, key=lambda parameter: parameter[0]))))
