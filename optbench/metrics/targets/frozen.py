"""Reads the frozen targets, and says for each problem of some results which ones hold for it."""

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
#: The name of a problem's only target where the file has none for it: the one that its author declared.
DECLARED = "declared"


def targets_of(cells: pd.DataFrame, file: Path | None = None) -> pd.DataFrame:
    """The targets of the problems of `cells` (the frame of `optbench.load`), easiest first.

    Those of the frozen file that comes with optbench, or of another one of the same form; for a problem that it
    doesn't know, or knows by another metric or in another version, the author's own target; for one without that, a
    row with a missing target. `source` says which, and why. Columns: `problem target_name target
    version source`. Raises UserError where the file is not one of targets.
    """
    version, known = _shipped() if file is None else _read(file.read_text("utf-8"), str(file))
    rows: list[dict[str, Any]] = []
    for cell in cells.drop_duplicates("problem").to_dict("records"):
        problem, entry = str(cell["problem"]), known.get(str(cell["problem"]))
        why = "" if entry is None else _stale(entry, cell)
        if entry is None or why:
            rows.append(_declared(problem, cell["target"], why))
            continue
        easiest_first = sorted(entry["targets"].items(), key=lambda item: item[1], reverse=not entry["higher"])
        rows += [
            {"problem": problem, "target_name": name, "target": float(value), "version": str(version),
             "source": entry["source"]}
            for name, value in easiest_first
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def _declared(problem: str, target: Any, why: str) -> dict[str, Any]:
    row: dict[str, Any] = {"problem": problem, "version": ""}
    if pd.isna(target):
        source = f"none: {why}, and none is declared" if why else "none: neither frozen nor declared"
        return row | {"target_name": "", "target": math.nan, "source": source}
    source = "declared by the problem's author" + (f"; {why}" if why else "")
    return row | {"target_name": DECLARED, "target": float(target), "source": source}


def _stale(entry: dict[str, Any], cell: dict[Any, Any]) -> str:
    """Why frozen targets don't hold for what the results measure, or nothing; a cell that doesn't say which metric or
    version it is of contradicts nothing.
    """
    name, higher, version = cell["metric_name"], cell["metric_higher_is_better"], cell.get("problem_version")
    if not pd.isna(name) and (name != entry["metric"] or bool(higher) != entry["higher"]):
        return f"the frozen ones are of the metric {entry['metric']}"
    if not pd.isna(version) and version not in ("", entry["problem_version"]):
        return f"the frozen ones are of version {entry['problem_version']} of the problem, and this is {version}"
    return ""


@cache
def _shipped() -> tuple[int, dict[str, dict[str, Any]]]:
    file = files("optbench.metrics.targets").joinpath("frozen.toml")
    return _read(file.read_text("utf-8"), "frozen.toml")


def _read(text: str, name: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The version and, by problem label, `problem_version`, `metric`, `higher`, `source` and `targets`."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name} is no TOML: {error}") from None
    fields = {"problem_version": str, "metric": str, "higher_is_better": bool, "source": str, "targets": dict}
    version, problems = content.get("version"), content.get("problems")
    if not isinstance(version, int) or not isinstance(problems, dict):
        raise UserError(f"{name} is no file of targets: it needs a whole number as version, and problems")
    known = {}
    for problem, entry in problems.items():
        for field in entry:
            if field not in fields:
                raise unknown(f"{name}: entry of {problem}", field, list(fields))
        for field, kind in fields.items():
            if not isinstance(entry.get(field), kind):
                raise UserError(f"{name}: {problem} needs {field}, a {kind.__name__}")
        values = entry["targets"].values()
        if not values or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
            raise UserError(f"{name}: the targets of {problem} have to be numbers, and at least one")
        known[problem] = {**entry, "higher": entry["higher_is_better"]}
    return version, known
