"""How likely one optimizer is to beat another on a new seed of these problems, for every pair."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from optbench.metrics.losses import seed_losses, tasks
from optbench.statistics.paired import share

COLUMNS = ["optimizer", "other", "probability", "probability_low", "probability_high", "n_pairs", "tasks", "meaningful"]


def probability_of_improvement(runs: pd.DataFrame, cells: pd.DataFrame, metric: str = "test_metric") -> pd.DataFrame:
    """One row for each ordered pair of optimizers: the share of paired seeds on which the first is better
    (equals count half), with Clopper and Pearson's bounds (see `statistics.paired.share`).

    A seed of a problem is one observation: its score is the share of the problem's batch sizes, devices and
    schedules on which the first optimizer is better. The bounds speak of other seeds on these
    problems. `meaningful` is the criterion of Bouthillier et al. (2021): the lower bound above 0.5 and the
    upper above 0.75. Seeds that repeat another one bit by bit are counted once.
    """
    wide = tasks(seed_losses(runs, cells, metric))
    names = sorted({str(name) for _, losses, _ in wide for name in losses.columns})
    rows: list[dict[str, Any]] = []
    for first, second in itertools.combinations(names, 2):
        scores = [
            _scores(losses, copies, first, second).rename(str(group["problem"]))
            for group, losses, copies in wide
            if {first, second} <= {*losses}
        ]
        joined = pd.concat(scores, keys=[part.name for part in scores]) if scores else pd.Series(dtype=float)
        observed = joined.groupby(level=[0, 1]).mean() if len(joined) else joined
        probability, low, high = share(observed.to_numpy(dtype=float))
        about = {"n_pairs": len(observed), "tasks": len(scores)}
        rows.append({"optimizer": first, "other": second, **_named(probability, low, high), **about})
        rows.append({"optimizer": second, "other": first, **_named(1 - probability, 1 - high, 1 - low), **about})
    table = pd.DataFrame(rows, columns=COLUMNS)
    bounds = ["probability", "probability_low", "probability_high"]
    table = table.astype(dict.fromkeys(bounds, "float64") | {"n_pairs": "int64", "tasks": "int64"})
    table["meaningful"] = (table["probability_low"] > 0.5) & (table["probability_high"] > 0.75)
    return table.sort_values(["optimizer", "other"], ignore_index=True)


def _scores(losses: pd.DataFrame, copies: pd.DataFrame, first: str, second: str) -> pd.Series:
    """By seed that both have run: 1 where the first is better, ½ where they are equal, 0 where it is worse."""
    both = losses[[first, second]].notna().all(axis=1)
    pairs = losses.loc[both, [first, second]][~copies.loc[both, [first, second]].duplicated()]
    one, other = pairs[first], pairs[second]
    return (one < other) + 0.5 * (one == other)


def _named(probability: float, low: float, high: float) -> dict[str, float]:
    return {"probability": probability, "probability_low": low, "probability_high": high}
