"""Reads the frozen targets, and selects those that apply to the problems of some results."""

from __future__ import annotations

import math
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from optbench.errors import UserError, unknown

_COLUMNS = ["problem", "target_name", "target", "version", "source"]
#: The name of the target that a problem's author declared, used if the file has no valid entry.
DECLARED = "declared"


def list_targets(cells: pd.DataFrame, file: Path | None = None) -> pd.DataFrame:
    """Returns the targets of the problems of `cells`, easiest first.

    They are the frozen targets, if the file has an entry for the problem with the same metric and version; otherwise
    the target that its author declared; otherwise a row with a missing target. `source` says which, and why.

    Args:
        cells: Frame of cells (see `optbench.load`).
        file: A file of targets; by default the one that ships with optbench.

    Returns:
        A frame with the columns `problem`, `target_name`, `target`, `version`, `source`.

    Raises:
        UserError: The file is not a valid file of targets.
    """
    version, known = _load_default() if file is None else _read(file.read_text("utf-8"), str(file))
    rows: list[dict[str, Any]] = []
    for cell in cells.drop_duplicates("problem").to_dict("records"):
        problem, entry = str(cell["problem"]), known.get(str(cell["problem"]))
        why = "" if entry is None else _explain_stale(entry, cell)
        if entry is None or why:
            rows.append(_author_row(problem, cell["target"], why))
            continue
        easiest_first = sorted(entry["targets"].items(), key=lambda item: item[1], reverse=not entry["higher"])
        rows += [
            {"problem": problem, "target_name": name, "target": float(value), "version": str(version),
             "source": entry["source"]}
            for name, value in easiest_first
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def _author_row(problem: str, target: Any, why: str) -> dict[str, Any]:
    row: dict[str, Any] = {"problem": problem, "version": ""}
    if pd.isna(target):
        source = f"none: {why}, and no target is declared" if why else "none: no target is frozen or declared"
        return row | {"target_name": "", "target": math.nan, "source": source}
    source = "declared by the problem's author" + (f"; {why}" if why else "")
    return row | {"target_name": DECLARED, "target": float(target), "source": source}


def _explain_stale(entry: dict[str, Any], cell: dict[Any, Any]) -> str:
    """Returns why frozen targets do not apply to a cell, or "".

    A cell of an older version, which does not record its metric or problem version, is accepted.
    """
    name, higher, version = cell["metric_name"], cell["metric_higher_is_better"], cell.get("problem_version")
    if not pd.isna(name) and (name != entry["metric"] or bool(higher) != entry["higher"]):
        return f"the frozen targets are for the metric {entry['metric']}"
    if not pd.isna(version) and version not in ("", entry["problem_version"]):
        return f"the frozen targets are for version {entry['problem_version']} of the problem, not {version}"
    return ""


@cache
def _load_default() -> tuple[int, dict[str, dict[str, Any]]]:
    file = files("optbench.metrics.targets").joinpath("frozen.toml")
    return _read(file.read_text("utf-8"), "frozen.toml")


def _read(text: str, name: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Returns the version and, by problem label, `problem_version`, `metric`, `higher`, `source` and `targets`."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"targets file {name} is not valid TOML: {error}") from None
    fields = {"problem_version": str, "metric": str, "higher_is_better": bool, "source": str, "targets": dict}
    version, problems = content.get("version"), content.get("problems")
    if not isinstance(version, int) or not isinstance(problems, dict):
        raise UserError(f"targets file {name} is not valid (required: version, an integer, and a table problems)")
    known = {}
    for problem, entry in problems.items():
        for field in entry:
            if field not in fields:
                raise unknown(f"field of problem {problem} in {name}", field, list(fields))
        for field, kind in fields.items():
            if not isinstance(entry.get(field), kind):
                raise UserError(
                    f"{field} of problem {problem} in {name} is missing or invalid (accepted: {kind.__name__})"
                )
        values = entry["targets"].values()
        if not values or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
            raise UserError(
                f"targets of problem {problem} in {name} are invalid (accepted: at least one finite number)"
            )
        known[problem] = {**entry, "higher": entry["higher_is_better"]}
    return version, known
