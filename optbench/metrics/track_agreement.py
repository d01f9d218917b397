"""Whether the ranking of the optimizers survives the tuning of more dimensions: Kendall's τ between tracks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from optbench.metrics import losses as loss_frames
from optbench.metrics.agreement import COUNTS, agreement, describe, drop_copies
from optbench.metrics.tracks import TRACKS, entries, on_task, representative, tracked_losses

COLUMNS = [
    "track", "other", "tau", "tau_low", "tau_high", "optimizers", "tasks", "kept", "reversed", "tied", "seeds",
    "seeds_other", "metric", "note",
]  # fmt: skip


def track_agreement(
    runs: pd.DataFrame, cells: pd.DataFrame, metric: str = "test_metric", seed: int = 0, resamples: int = 1000
) -> pd.DataFrame:
    """Returns one row for each two tracks (see `tracks`) on which at least two optimizers were run.

    Each optimizer is ranked on both tracks by its mean rank over tasks of the median of `metric`, among the optimizers
    that have both tracks on the task.

    `tau` and the other columns are those of `agreement.agreement`.

    Args:
        runs: Frame of runs (see `optbench.load`).
        cells: Frame of cells.
        metric: One of `metrics.METRICS`.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.

    Raises:
        UserError: The metric is unknown, or a frame lacks a column.
    """
    losses, _ = tracked_losses(runs, cells, metric)
    tasks = [
        (group, own, copies, entries(runs, on_task(cells, group))) for group, own, copies in loss_frames.tasks(losses)
    ]
    rows = []
    for pair in combinations(TRACKS, 2):
        common = [
            (group["problem"], *both)
            for group, own, copies, found in tasks
            if (both := _select(own, copies, found, pair))
        ]
        first, second = ([(problem, frames[place]) for problem, *frames in common] for place in (0, 1))
        found = agreement(first, second, seed, resamples)
        if found is not None:
            rows.append({"track": pair[0], "other": pair[1], "tasks": len(common), "metric": metric, **found})
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(["tau", "tau_low", "tau_high"], "float64"))
    return table.astype(dict.fromkeys([*COUNTS, "tasks"], "Int64"))


def agreements(table: pd.DataFrame) -> list[str]:
    """Returns a sentence for each row of `track_agreement`, with what it means.

    Args:
        table: The table `track_agreement`.
    """
    return [describe(row, row["track"], row["other"]) + _meaning(row) for row in table.to_dict("records")]


def _meaning(row: dict[Any, Any]) -> str:
    if pd.isna(row["tau_low"]):
        return ""
    if row["tau_low"] > 0:
        return " The interval is above 0: the optimizers rank alike on both, beyond chance."
    if row["tau_high"] < 0:
        return " The interval is below 0: the optimizers rank in opposite orders, beyond chance."
    return " The interval contains 0: it is not shown that the ranking survives the tuning."


def _select(
    own: pd.DataFrame, copies: pd.DataFrame, found: Sequence[Any], pair: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Returns the losses of a task on two tracks, seeds by optimizers, for those that have both; None for fewer than 2.

    Seeds that one of them lacks are left out, and so are copies of other seeds (see `drop_copies`).
    """
    chosen: list[dict[str, str]] = [{}, {}]
    for base in dict.fromkeys(entry.base for entry in found):
        mine = [representative([one for one in found if one.base == base], track) for track in pair]
        keys = [entry.key for entry in mine if entry is not None and entry.key in own]
        if len(keys) == len(pair):
            for names, key in zip(chosen, keys, strict=True):
                names[key] = base
    first, second = (drop_copies(own[[*names]].dropna(), copies).rename(columns=names) for names in chosen)
    return (first, second) if first.shape[1] > 1 and len(first) and len(second) else None
