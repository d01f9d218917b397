"""The learning-rate schedules that optimizers bring themselves, as their compared runs had them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from optbench.formatting import format_cell
from optbench.metrics.compared import select_runs
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS


def own_schedules(runs: pd.DataFrame, cells: pd.DataFrame) -> dict[Any, dict[str, Any]]:
    """Returns by cell id the hyperparameters of the optimizer's own schedule; without an entry, it has none.

    They are those of the compared runs, such as `{"lr_schedule": "cosine", "lr_warmup": 0.1}`. A value that changes
    nothing (a constant rate, no warm-up) is left out. A warm-up of 1 or more is a number of steps.

    Args:
        runs: Frame of runs.
        cells: Frame of cells.
    """
    names = [name for name in SCHEDULE_HYPERPARAMETERS if f"hp_{name}" in runs]
    if not names:
        return {}
    compared = select_runs(runs, cells).drop_duplicates("cell_id")
    values = compared[[f"hp_{name}" for name in names]].to_numpy(dtype=object)
    found = {
        cell: _keep_effective(dict(zip(names, row, strict=True)))
        for cell, row in zip(compared["cell_id"], values, strict=True)
    }
    return {cell: schedule for cell, schedule in found.items() if schedule}


def describe_schedule(schedule: Mapping[str, Any]) -> str:
    """Returns an own schedule in words, such as `lr_schedule=cosine, lr_warmup=0.1`.

    Args:
        schedule: Its hyperparameters, as `own_schedules` gives them; empty for none.
    """
    parts = [
        f"{name}={value if isinstance(value, str) else format_cell(f'hp_{name}', value)}"
        for name, value in schedule.items()
    ]
    return ", ".join(parts) or "a constant learning rate"


def _keep_effective(values: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if pd.notna(value)}
    known = {name: value if isinstance(value, str) else float(value) for name, value in given.items()}
    if known.get("lr_schedule") in (None, "", "constant"):
        return {name: value for name, value in known.items() if name == "lr_warmup" and value}
    return {name: value for name, value in known.items() if name != "lr_warmup" or value}
