"""Whether the ranking of the optimizers survives the tuning of more dimensions: Kendall's τ between tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import format_number, in_words
from optbench.metrics import losses as loss_frames
from optbench.metrics.tracks import TRACKS, entries, on_task, representative, tracked_losses
from optbench.statistics.bootstrap import (
    MIN_DEGREES_OF_FREEDOM,
    bootstrap_interval,
    degrees_of_freedom,
    resample,
)
from optbench.statistics.ranks import compare, kendall_tau, pair_orders

COLUMNS = [
    "track", "other", "tau", "tau_low", "tau_high", "optimizers", "tasks", "kept", "reversed", "tied", "seeds",
    "seeds_other", "metric", "note",
]  # fmt: skip
_COUNTS = ["optimizers", "tasks", "kept", "reversed", "tied", "seeds", "seeds_other"]


def track_agreement(
    runs: pd.DataFrame, cells: pd.DataFrame, metric: str = "test_metric", seed: int = 0, resamples: int = 1000
) -> pd.DataFrame:
    """Returns one row for each two tracks (see `tracks`) on which at least two optimizers were run.

    Each optimizer is ranked on both tracks by its mean rank over tasks of the median of `metric`, among the optimizers
    that have both tracks on the task.

    - `tau`: Kendall's τ_b between the two rankings: 1 for the same order, −1 for the opposite one.
    - `tau_low`, `tau_high`: its bootstrap interval over the seeds of these tasks, within −1 to 1. It is missing with
      too few seeds, or if all resamples give the same τ.
    - `kept`, `reversed`, `tied`: how many pairs of optimizers have the same order on both tracks, the opposite one, or
      are tied on one of them.
    - `seeds`, `seeds_other`: the fewest seeds of a problem on the first and the second track.

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
        names = sorted({str(name) for _, first, _ in common for name in first})
        if len(names) < 2:
            continue
        strata, ranks_of = _stack(common, names)
        first, second = ranks_of([stratum[None] for stratum in strata])[0]
        samples = resample(strata, partial(_tau, ranks_of), seed, resamples)
        tau = float(kendall_tau(first, second))
        degrees = _degrees(common)
        known = samples[~np.isnan(samples)]
        low, high = bootstrap_interval(known, np.array(tau), degrees)
        both = pair_orders(first) * pair_orders(second)
        fewest = [min(len(frames[place]) for _, *frames in common) for place in (0, 1)]
        rows.append(
            {
                "track": pair[0], "other": pair[1], "tau": tau,
                "tau_low": np.clip(low, -1.0, 1.0), "tau_high": np.clip(high, -1.0, 1.0),
                "optimizers": len(names), "tasks": len(common), "kept": (both > 0).sum(),
                "reversed": (both < 0).sum(), "tied": (both == 0).sum(), "seeds": fewest[0],
                "seeds_other": fewest[1], "metric": metric, "note": _explain(tau, low, degrees),
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(["tau", "tau_low", "tau_high"], "float64"))
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))


def agreements(table: pd.DataFrame) -> list[str]:
    """Returns a sentence for each row of `track_agreement`, with what it means.

    Args:
        table: The table `track_agreement`.
    """
    return [_sentence(row) for row in table.to_dict("records")]


def _sentence(row: dict[Any, Any]) -> str:
    text = f"The rankings of {row['optimizers']} optimizers by {row['track']} and by {row['other']}"
    if pd.isna(row["tau"]):
        return f"{text} cannot be compared: {row['note']}."
    tau, low, high = (format_number(float(row[name]), 2) for name in ("tau", "tau_low", "tau_high"))
    interval = "" if pd.isna(row["tau_low"]) else f" [{low}, {high}]"
    pairs = row["kept"] + row["reversed"] + row["tied"]
    counts = [f"{row[name]} {words}" for name, words in _CHANGES.items() if row[name]]
    text += f" have τ = {tau}{interval}: of {pairs} pair{'s' * (pairs != 1)}, {in_words(counts)}."
    return text + ("" if interval else f" There is no interval: {row['note']}.") + _meaning(row)


_CHANGES = {"kept": "in the same order", "reversed": "in the opposite order", "tied": "tied on one of the two"}


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

    Seeds that one of them lacks are left out, and so are copies of other seeds (see `_drop_copies`).
    """
    chosen: list[dict[str, str]] = [{}, {}]
    for base in dict.fromkeys(entry.base for entry in found):
        mine = [representative([one for one in found if one.base == base], track) for track in pair]
        keys = [entry.key for entry in mine if entry is not None and entry.key in own]
        if len(keys) == len(pair):
            for names, key in zip(chosen, keys, strict=True):
                names[key] = base
    first, second = (_drop_copies(own[[*names]].dropna(), copies).rename(columns=names) for names in chosen)
    return (first, second) if first.shape[1] > 1 and len(first) and len(second) else None


def _drop_copies(losses: pd.DataFrame, copies: pd.DataFrame) -> pd.DataFrame:
    """Leaves out seeds on which all optimizers repeat another one; a copy of one of them alone becomes NaN.

    An optimizer with a single observation keeps its copies: all resamples need its value, which is always the same.
    """
    repeated = copies.loc[losses.index, losses.columns].apply(lambda seeds: seeds.duplicated())
    kept = ~repeated.all(axis=1)
    losses, repeated = losses[kept], repeated[kept]
    return losses.mask(repeated & ((~repeated).sum() > 1))


def _stack(
    common: Sequence[tuple[str, pd.DataFrame, pd.DataFrame]], names: list[str]
) -> tuple[list[np.ndarray], Callable[[Sequence[np.ndarray]], np.ndarray]]:
    """Returns the losses as strata of the bootstrap, and what computes the mean ranks from resamples of them.

    The batch sizes of a problem share their seeds, and so do two tracks with the same seeds: these are resampled
    together. A stratum has the shape (tracks · batch sizes, optimizers, seeds). Resamples of r draws become mean ranks
    of shape (r, 2, optimizers).
    """
    parts: dict[tuple[Any, ...], list[tuple[int, np.ndarray]]] = {}
    for problem, *frames in common:
        shared = frames[0].index.equals(frames[1].index)
        for place, frame in enumerate(frames):
            key = (problem, -1 if shared else place, tuple(frame.index))
            parts.setdefault(key, []).append((place, frame.reindex(columns=names).to_numpy(dtype=float).T))
    places = [[place for place, _ in part] for part in parts.values()]

    def mean_ranks(drawn: Sequence[np.ndarray]) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            ranked = [_ranks(_medians(sample)) for sample in drawn]
        sides = [
            [
                ranks[:, row]
                for ranks, own in zip(ranked, places, strict=True)
                for row, place in enumerate(own)
                if place == side
            ]
            for side in (0, 1)
        ]
        with np.errstate(invalid="ignore"):  # a resample may have no observation of an optimizer
            means = [np.nansum(side, axis=0) / (~np.isnan(side)).sum(axis=0) for side in sides]
        return np.stack(means, axis=1)

    return [np.stack([losses for _, losses in part]) for part in parts.values()], mean_ranks


def _medians(losses: np.ndarray) -> np.ndarray:
    """Returns the medians along the last axis, without NaN."""
    ordered, known = np.sort(losses, axis=-1), (~np.isnan(losses)).sum(axis=-1, keepdims=True)
    middle = np.concatenate([np.maximum(known - 1, 0) // 2, known // 2], axis=-1)
    return np.take_along_axis(ordered, middle, axis=-1).mean(axis=-1)


def _ranks(losses: np.ndarray) -> np.ndarray:
    """Returns the ranks of optimizers along the last axis; ties share their mean rank, and NaN is not ranked."""
    beaten = compare(losses[..., :, None], losses[..., None, :])
    present = (~np.isnan(losses)).sum(axis=-1, keepdims=True)
    return np.where(np.isnan(losses), np.nan, (present + 1 + np.nansum(beaten, axis=-1)) / 2)


def _tau(ranks_of: Callable[[Sequence[np.ndarray]], np.ndarray], drawn: Sequence[np.ndarray]) -> np.ndarray:
    ranks = ranks_of(drawn)
    return kendall_tau(ranks[:, 0], ranks[:, 1])


def _degrees(common: Sequence[tuple[str, pd.DataFrame, pd.DataFrame]]) -> float:
    """Returns the degrees of freedom of the track with fewer: the interval is as uncertain as its spread there."""
    fewest: list[dict[str, int]] = [{}, {}]
    for problem, *frames in common:
        for own, frame in zip(fewest, frames, strict=True):
            own[problem] = min(len(frame), own.get(problem, len(frame)))
    return min(degrees_of_freedom([np.empty(n) for n in own.values()]) for own in fewest)


def _explain(tau: float, low: np.ndarray, degrees: float) -> str:
    if np.isnan(tau):
        return "all optimizers are tied on one of the two"
    if not np.isnan(low):
        return ""
    return "too few seeds" if degrees < MIN_DEGREES_OF_FREEDOM else "all resamples of the seeds give the same τ"
