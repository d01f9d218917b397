"""How far two rankings of the same optimizers agree: Kendall's τ, with an interval over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import format_number, in_words
from optbench.statistics.bootstrap import (
    MIN_DEGREES_OF_FREEDOM,
    bootstrap_interval,
    degrees_of_freedom,
    resample,
)
from optbench.statistics.ranks import compare, kendall_tau, pair_orders

#: The columns of an agreement, as the tables have them.
COLUMNS = ["tau", "tau_low", "tau_high", "optimizers", "kept", "reversed", "tied", "seeds", "seeds_other"]
COUNTS = ["optimizers", "kept", "reversed", "tied", "seeds", "seeds_other"]

#: The losses of a task: the name of its problem, and a frame of seeds by optimizers.
TaskLosses = tuple[str, pd.DataFrame]


def agreement(
    first: Sequence[TaskLosses], second: Sequence[TaskLosses], seed: int = 0, resamples: int = 1000
) -> dict[str, Any] | None:
    """Returns how far the rankings of optimizers on two sides agree; None if there are fewer than two optimizers.

    On each side, an optimizer is ranked by its mean rank over the tasks of its median loss.

    - `tau`: Kendall's τ_b between the two rankings: 1 for the same order, −1 for the opposite one.
    - `tau_low`, `tau_high`: its bootstrap interval over the seeds of these tasks, within −1 to 1. It is missing with
      too few seeds, or if all resamples give the same τ; `note` says which.
    - `kept`, `reversed`, `tied`: how many pairs of optimizers have the same order on both sides, the opposite one, or
      are tied on one of them.
    - `seeds`, `seeds_other`: the fewest seeds of a problem on each side.

    Args:
        first: The tasks of one side. Both sides have the same optimizers; seeds that copy others are missing.
        second: The tasks of the other side.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    sides = (first, second)
    names = sorted({str(name) for _, frame in first for name in frame})
    if len(names) < 2:
        return None
    strata, ranks_of = _stack(sides, names)
    one, other = ranks_of([stratum[None] for stratum in strata])[0]
    samples = resample(strata, partial(_tau, ranks_of), seed, resamples)
    tau = float(kendall_tau(one, other))
    degrees = min(map(_degrees, sides))
    known = samples[~np.isnan(samples)]
    low, high = bootstrap_interval(known, np.array(tau), degrees)
    both = pair_orders(one) * pair_orders(other)
    return {
        "tau": tau, "tau_low": np.clip(low, -1.0, 1.0), "tau_high": np.clip(high, -1.0, 1.0),
        "optimizers": len(names), "kept": (both > 0).sum(), "reversed": (both < 0).sum(), "tied": (both == 0).sum(),
        "seeds": min(len(frame) for _, frame in first), "seeds_other": min(len(frame) for _, frame in second),
        "note": _explain(tau, low, degrees),
    }  # fmt: skip


def describe(row: dict[Any, Any], first: str, second: str) -> str:
    """Returns a sentence with an agreement.

    Args:
        row: The columns of `agreement`.
        first: What the first side is called.
        second: What the second side is called.
    """
    text = f"The rankings of {row['optimizers']} optimizers by {first} and by {second}"
    if pd.isna(row["tau"]):
        return f"{text} cannot be compared: {row['note']}."
    tau, low, high = (format_number(float(row[name]), 2) for name in ("tau", "tau_low", "tau_high"))
    interval = "" if pd.isna(row["tau_low"]) else f" [{low}, {high}]"
    pairs = row["kept"] + row["reversed"] + row["tied"]
    counts = [f"{row[name]} {words}" for name, words in _CHANGES.items() if row[name]]
    text += f" have τ = {tau}{interval}: of {pairs} pair{'s' * (pairs != 1)}, {in_words(counts)}."
    return text + ("" if interval else f" There is no interval: {row['note']}.")


_CHANGES = {"kept": "in the same order", "reversed": "in the opposite order", "tied": "tied on one of the two"}


def drop_copies(losses: pd.DataFrame, copies: pd.DataFrame) -> pd.DataFrame:
    """Leaves out seeds on which all optimizers repeat another one; a copy of one of them alone becomes NaN.

    An optimizer with a single observation keeps its copies: all resamples need its value, which is always the same.
    """
    repeated = copies.loc[losses.index, losses.columns].apply(lambda seeds: seeds.duplicated())
    kept = ~repeated.all(axis=1)
    losses, repeated = losses[kept], repeated[kept]
    return losses.mask(repeated & ((~repeated).sum() > 1))


def _stack(
    sides: Sequence[Sequence[TaskLosses]], names: list[str]
) -> tuple[list[np.ndarray], Callable[[Sequence[np.ndarray]], np.ndarray]]:
    """Returns the losses as strata of the bootstrap, and what computes the mean ranks from resamples of them.

    The tasks of a problem with the same seeds are resampled together, and so are both sides if they have the same
    problem and seeds. A stratum has the shape (tasks, optimizers, seeds). Resamples of r draws become mean ranks of
    shape (r, 2, optimizers).
    """
    seeds = [{(problem, tuple(frame.index)) for problem, frame in side} for side in sides]
    shared = seeds[0] & seeds[1]
    parts: dict[tuple[Any, ...], list[tuple[int, np.ndarray]]] = {}
    for both in zip_longest(*sides):
        for place, task in enumerate(both):
            if task is not None:
                problem, frame = task
                key = (problem, tuple(frame.index))
                losses = frame.reindex(columns=names).to_numpy(dtype=float).T
                parts.setdefault((*key, -1 if key in shared else place), []).append((place, losses))
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


def _degrees(side: Sequence[TaskLosses]) -> float:
    """Returns the degrees of freedom of a side, whose tasks of one problem share their seeds."""
    fewest: dict[str, int] = {}
    for problem, frame in side:
        fewest[problem] = min(len(frame), fewest.get(problem, len(frame)))
    return degrees_of_freedom([np.empty(n) for n in fewest.values()])


def _explain(tau: float, low: np.ndarray, degrees: float) -> str:
    if np.isnan(tau):
        return "all optimizers are tied on one of the two"
    if not np.isnan(low):
        return ""
    return "too few seeds" if degrees < MIN_DEGREES_OF_FREEDOM else "all resamples of the seeds give the same τ"
