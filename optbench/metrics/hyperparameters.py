"""The hyperparameters that were searched: where, on which scale, with how many trials, and what was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from optbench.formatting import is_missing
from optbench.optimizers.search_space import Choices, Range, read_space
from optbench.results.stored import CELL
from optbench.selection import format_value

_COLUMNS = [*CELL, "hyperparameter", "searched", "scale", "condition", "start", "chosen", "trials", "cell_id"]


def hyperparameters(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per tuned cell and searched hyperparameter.

    - `searched`: the range or list of values. That of the learning rate includes extensions of the declared range.
    - `scale`: `log`, `linear`, `log of 1 − value`, or `list`.
    - `condition`: the values of other hyperparameters for which this one is tried.
    - `start`: the value of trial 0, the optimizer's default.
    - `chosen`: the value of the tuned runs. `start` and `chosen` are empty if there is none, such as for a
      hyperparameter whose condition is not met.
    - `trials`: how many trials had a value of it, including failed and stopped ones.

    A cell whose search space is not recorded, as by older versions, has a row for the learning rate alone.

    Args:
        trials: Frame of trials.
        runs: Frame of runs.
        cells: Frame of cells.
    """
    own_trials, chosen = group_by_cell(trials, runs)
    rows = []
    for cell in cells.drop_duplicates("cell_id").to_dict("records"):
        own = own_trials.get(cell["cell_id"], trials.iloc[:0])
        start = next(iter(own[own["trial"] == 0].to_dict("records")), {})
        for name, tried in searched_space(cell).items():
            column = column_of(name)
            rows.append(
                {key: cell[key] for key in ("cell_id", *CELL)}
                | {
                    "hyperparameter": name,
                    "searched": _describe(tried),
                    "scale": _scale(tried),
                    "condition": " and ".join(
                        f"{key} is {' or '.join(map(format_value, values))}" for key, values in tried.when
                    ),
                    "start": _text(start.get(column)),
                    "chosen": _text(chosen.get(cell["cell_id"], {}).get(column)),
                    "trials": int(own[column].notna().sum()) if column in own else 0,
                }
            )
    table = pd.DataFrame(rows, columns=_COLUMNS).astype({"trials": "Int64"})
    return table.sort_values(CELL, kind="stable", ignore_index=True)


def column_of(name: str) -> str:
    """Returns the column of trials and runs that has the values of a hyperparameter."""
    return "lr" if name == "lr" else f"hp_{name}"


def group_by_cell(
    trials: pd.DataFrame, runs: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], dict[str, dict[Any, Any]]]:
    """Returns by cell its trials, each once, and one of its tuned runs, which has the chosen values.

    Args:
        trials: Frame of trials.
        runs: Frame of runs.
    """
    trials = trials.drop_duplicates(["cell_id", "trial"])
    tuned = runs[runs["tuned"].astype(bool) & (runs["status"] != "skipped")].drop_duplicates("cell_id")
    return (
        {str(cell): own for cell, own in trials.groupby("cell_id", observed=True)},
        {str(row["cell_id"]): row for row in tuned.to_dict("records")},
    )


def searched_space(cell: Mapping[Any, Any]) -> dict[str, Range | Choices]:
    """Returns the space that the tuning of a cell has searched: the learning rate first, with its extended range.

    Args:
        cell: A row of the frame of cells.
    """
    text, low, high = cell.get("search"), cell.get("lr_low_searched"), cell.get("lr_high_searched")
    space = read_space(text) if isinstance(text, str) else {}
    known = not is_missing(low) and not is_missing(high)
    if not space and not is_missing(cell.get("lr_low")) and cell.get("sampler"):
        space["lr"] = Range(float(cell["lr_low"]), float(cell["lr_high"]))
    if known and isinstance(rate := space.get("lr"), Range):
        space["lr"] = replace(rate, low=min(rate.low, float(low)), high=max(rate.high, float(high)))  # type: ignore[arg-type]
    return {name: space[name] for name in sorted(space, key=lambda name: name != "lr")}


def _describe(tried: Range | Choices) -> str:
    if isinstance(tried, Choices):
        return ", ".join(map(format_value, tried.values))
    return f"{'0 or ' if tried.zero else ''}{tried.low:.4g} to {tried.high:.4g}"


def _scale(tried: Range | Choices) -> str:
    if isinstance(tried, Choices):
        return "list"
    return "log" if tried.log else "log of 1 − value" if tried.complement else "linear"


def _text(value: Any) -> str:
    if value is None or is_missing(value):
        return ""
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) else format_value(value)
