"""The data of the parallel coordinates: where the trials of a search in several dimensions lie on its axes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from optbench.formatting import is_missing
from optbench.metrics.hyperparameters import column_of, group_by_cell, searched_space
from optbench.metrics.importance import place
from optbench.plots.importance import tick_labels
from optbench.results.stored import CELL


def coordinate_axes(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per label on an axis of each cell that searched several hyperparameters.

    The columns are those of the cell, `hyperparameter`, `position` (from 0 to 1 on the scale of the search space) and
    `label`, the value there.

    Args:
        cells: Frame of cells.
    """
    rows = [
        {**{key: cell[key] for key in CELL}, "hyperparameter": name, "position": position, "label": label}
        for cell in _searching(cells)
        for name, tried in searched_space(cell).items()
        for position, label in tick_labels(tried)
    ]
    return pd.DataFrame(rows, columns=[*CELL, "hyperparameter", "position", "label"])


def coordinates(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and searched hyperparameter of these cells.

    `position` is where its value lies on the axis; it is missing if the trial has none, or one outside of the search
    space. `chosen` is whether the tuned runs have the values of the trial.

    Args:
        trials: Frame of trials.
        runs: Frame of runs.
        cells: Frame of cells.
    """
    own_trials, chosen = group_by_cell(trials, runs)
    rows = []
    for cell in _searching(cells):
        space = searched_space(cell)
        point = chosen.get(cell["cell_id"])
        for trial in own_trials.get(cell["cell_id"], trials.iloc[:0]).to_dict("records"):
            about = {key: cell[key] for key in CELL} | {"trial": trial["trial"], "chosen": _same(trial, point, space)}
            rows += [
                about | {"hyperparameter": name, "position": place(tried, trial.get(column_of(name)))}
                for name, tried in space.items()
            ]
    table = pd.DataFrame(rows, columns=[*CELL, "trial", "chosen", "hyperparameter", "position"])
    return table.astype({"position": "float64"})


def _searching(cells: pd.DataFrame) -> list[dict[Any, Any]]:
    return [cell for cell in cells.drop_duplicates("cell_id").to_dict("records") if len(searched_space(cell)) > 1]


def _same(trial: dict[Any, Any], point: dict[Any, Any] | None, space: dict[str, Any]) -> bool:
    pairs = [] if point is None else [(trial.get(column_of(name)), point.get(column_of(name))) for name in space]
    return bool(pairs) and all(one == other or (is_missing(one) and is_missing(other)) for one, other in pairs)
