"""How much each hyperparameter decided whether a trial was among the best ones (PED-ANOVA)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import is_missing
from optbench.metrics.hyperparameters import column_of, searched_space
from optbench.optimizers.search_space import Choices, Range
from optbench.results.stored import CELL, STOPPED

#: The share of the trials that count as the best ones.
TOP = 0.25
#: Cells with fewer trials have no rows: of fewer than five best trials, the densities are too uncertain.
FEWEST = 20
#: Statuses of trials that failed for reasons other than their hyperparameters.
_TECHNICAL = ("error", "oom", "timeout")
_COLUMNS = [*CELL, "hyperparameter", "importance", "trials", "best_trials", "cell_id"]


def importance(trials: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per hyperparameter of each cell that searched several of them with at least `FEWEST` trials.

    `importance` is the share of the hyperparameter in the sum over all of the cell: the Pearson divergence between its
    density among the best quarter of the trials and among all of them, by Optuna's PED-ANOVA (Watanabe, Bansal and
    Hutter 2023). Only ranks count. A trial that a race stopped ranks after all that ended, and a diverged one last.
    Hyperparameters with a condition are left out, and so are trials outside the search space. `trials` is the number
    of trials, `best_trials` that of the best quarter. With few of them, shares are largely due to chance.

    Args:
        trials: Frame of trials.
        cells: Frame of cells.
    """
    trials = trials.drop_duplicates(["cell_id", "trial"])
    own_trials = dict(list(trials.groupby("cell_id", observed=True)))
    rows = []
    for cell in cells.drop_duplicates("cell_id").to_dict("records"):
        space = {name: tried for name, tried in searched_space(cell).items() if not tried.when}
        if len(space) < 2 or cell["cell_id"] not in own_trials:
            continue
        places, ranks = _ranked(own_trials[cell["cell_id"]], space)
        if len(ranks) < FEWEST:
            continue
        common = {key: cell[key] for key in ("cell_id", *CELL)}
        counts = {"trials": len(ranks), "best_trials": math.ceil(TOP * len(ranks))}
        rows += [
            common | counts | {"hyperparameter": name, "importance": share}
            for name, share in _shares(places, ranks, space).items()
        ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table = table.astype({"importance": "float64", "trials": "Int64", "best_trials": "Int64"})
    return table.sort_values(CELL, kind="stable", ignore_index=True)


def place(tried: Range | Choices, value: Any) -> float:
    """Returns the position of a value of a frame on the axis from 0 to 1; NaN outside of the search space.

    A frame has tuples as text.
    """
    if is_missing(value):
        return math.nan
    if isinstance(tried, Choices):
        found = [index for index, own in enumerate(tried.values) if own == value or str(own) == str(value)]
        return tried.position(tried.values[found[0]]) if found else math.nan
    return tried.position(float(value)) if tried.contains(float(value)) else math.nan


def _ranked(trials: pd.DataFrame, space: Mapping[str, Range | Choices]) -> tuple[pd.DataFrame, np.ndarray]:
    """The positions of the trials' values, and the trials' ranks from the best (0) to the worst."""
    trials = trials[~trials["status"].isin(_TECHNICAL)]
    places = pd.DataFrame(
        {name: [place(tried, value) for value in _values(trials, name)] for name, tried in space.items()},
        index=trials.index,
    ).dropna()
    trials = trials.loc[places.index]
    stage = trials["status"].map({"ok": 0, STOPPED: 1, "skipped": 1}).fillna(2)
    # Of the stopped trials, those that were stopped later are better: a race stops the worst ones at each pause.
    spent = trials["cost"].where(stage == 1, 0.0).astype(float)
    order = np.lexsort((trials["valid_loss"].astype(float).fillna(np.inf), -spent, stage))
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order))
    return places, ranks


def _values(trials: pd.DataFrame, name: str) -> list[Any]:
    column = column_of(name)
    return trials[column].tolist() if column in trials else [math.nan] * len(trials)


def _shares(places: pd.DataFrame, ranks: np.ndarray, space: Mapping[str, Range | Choices]) -> dict[str, float]:
    import optuna  # takes a second, which results without such cells don't need

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.CategoricalDistribution([tried.position(value) for value in tried.values])
        if isinstance(tried, Choices)
        else optuna.distributions.FloatDistribution(0.0, 1.0)
        for name, tried in space.items()
    }
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={str(key): value for key, value in row.items()}, distributions=distributions, value=float(rank)
            )
            for row, rank in zip(places.to_dict("records"), ranks, strict=True)
        ]
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP)
    found = evaluator.evaluate(study, params=list(space))
    total = sum(found.values())
    return {name: found[name] / total if total > 0 else math.nan for name in space}
