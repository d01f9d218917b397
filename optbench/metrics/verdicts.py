"""Verdicts (win, tie, loss or inconclusive) of every optimizer against a reference, from paired seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optbench.errors import unknown
from optbench.formatting import format_number
from optbench.metrics import losses as loss_frames
from optbench.metrics.compared import directions, is_technical
from optbench.metrics.known_length import KnownLengths
from optbench.metrics.ranking import higher_is_better
from optbench.metrics.timing_error import index_by_cell, ratio_error, timing_errors
from optbench.results.stored import GROUP
from optbench.statistics import paired, planning
from optbench.statistics.equality import RESOLUTION
from optbench.statistics.fewest import fewest_pairs
from optbench.statistics.intervals import t_interval

#: Ratios of losses within this factor, and differences of metrics within this share of the reference's median, do not
#: matter: optimizers shown to be this close are tied.
TIE_RATIO, TIE_SHARE = 1.05, 0.01
#: The note of a significant difference that is shown to be smaller than what matters.
SMALL = "the difference is significant but small: it is shown to be within the margin"
#: Default references: the first of these that was run.
REFERENCES = ("adam", "adamw", "sgd")

COLUMNS = [
    *GROUP, "optimizer", "reference", "verdict", "effect", "effect_low", "effect_high", "effect_unit",
    "effect_size", "probability", "probability_low", "probability_high", "p", "p_holm", "p_tie", "n_pairs",
    "n_failed", "n_failed_reference", "more_seeds", "metric", "note",
]  # fmt: skip
_COUNTS = ["n_pairs", "n_failed", "n_failed_reference", "more_seeds"]


def verdicts(
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    reference: str | None = None,
    metric: str = "test_metric",
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Returns one row per optimizer other than the reference on each task (problem, batch size, device and schedule).

    - `verdict`: `win` or `loss` if the exact sign-flip test shows a difference; otherwise `tie` if the two are shown to
      differ by less than what matters (`TIE_RATIO`, `TIE_SHARE`); otherwise `inconclusive`. If both are shown, `note`
      has the sentence `SMALL`. The probability of an error is at
      most `alpha` for each kind within a task, by Holm's adjustment over its optimizers.
    - `more_seeds`: for `inconclusive`, how many more seeds are likely to decide (with 80 % power, if the effect is as
      estimated).
    - `effect`: the geometric mean of loss ratios to the reference (below 1: better), or the mean difference of the
      metric (above 0: better), as `effect_unit` says, with its t-interval.
    - `effect_size`: mean/deviation of the paired differences, positive if the optimizer is better.
    - `probability`: the probability to be better on a new seed, with Clopper and Pearson's bounds.

    What cannot be estimated is missing, and `note` gives the reason. It also says if only the better one of the two
    knows the length of the training (see `known_length`). Seconds are judged at both ends of what the repetitions of
    the timing pass allow (see `timing_error`); the less certain end counts.

    Args:
        runs: Frame of runs (see `optbench.load`).
        cells: Frame of cells.
        reference: An optimizer; by default the first of `REFERENCES` that was run, otherwise the first one of `cells`.
        metric: One of `metrics.METRICS`.
        alpha: Significance level.
        seed: Seed of the sign patterns, which are random for many pairs.

    Raises:
        UserError: The reference or the metric is unknown, or a frame lacks a column.
    """
    return verdicts_against(runs, cells, [choose_reference(cells, reference)], metric, alpha, seed)


def verdicts_against(
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    references: Sequence[str],
    metric: str = "test_metric",
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Returns the `verdicts` against each of several references, one after another in one frame."""
    frame = loss_frames.seed_losses(runs, cells, metric)
    errors = index_by_cell(timing_errors(cells, metric))
    lengths = KnownLengths(runs, cells)
    higher = {name: higher_is_better(metric, bool(flag)) for name, flag in directions(cells).items()}
    tasks = [
        Task(group, losses, copies, errors, higher.get(group["problem"], False))
        for group, losses, copies in loss_frames.tasks(frame)
    ]
    rows = [
        {**row, "reference": reference, "metric": metric}
        for reference in references
        for task in tasks
        for row in _compare_with(reference, task, lengths, alpha, seed)
    ]
    rows += [
        {**row, "reference": reference, "metric": metric}
        for reference in references
        for task in tasks
        for row in _describe_lost(reference, task, cells)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    texts = ["verdict", "effect_unit", "note"]
    numbers = [name for name in COLUMNS if name.startswith(("effect_", "probability", "p")) and name != "problem"]
    table = table.astype({name: "float64" for name in ["effect", *numbers] if name not in texts})
    table[texts] = table[texts].astype(object).fillna("").astype("str")
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))


def is_small(notes: pd.Series) -> pd.Series:
    """Returns whether verdicts with these notes are of a significant difference within the margin."""
    return notes.astype(object).str.startswith(SMALL)


def choose_reference(cells: pd.DataFrame, reference: str | None = None) -> str:
    """Returns the optimizer that others are compared with: `reference`, or the default one.

    Raises:
        UserError: `reference` was not run.
    """
    names = [str(name) for name in cells["optimizer"].unique()]
    if reference is not None:
        if reference not in names:
            raise unknown("reference optimizer", reference, names)
        return reference
    return next((name for name in (*REFERENCES, *names) if name in names), "")


class Task:
    """By optimizer, the losses of a task's seeds, and the seed that each one copies."""

    def __init__(
        self,
        group: dict[str, Any],
        losses: pd.DataFrame,
        copies: pd.DataFrame,
        errors: Mapping[Any, Any],
        higher_is_better: bool,
    ) -> None:
        self.group, self.errors, self.higher_is_better = group, errors, higher_is_better
        # Columns are converted once: a lookup in a frame takes longer than the statistics.
        self.losses = {str(name): column.to_numpy(dtype=float) for name, column in losses.items()}
        self.copies = {str(name): column.to_numpy(dtype=float) for name, column in copies.items()}

    def observations(self, name: str) -> np.ndarray:
        """Returns the losses of an optimizer, one for seeds that copy each other, of shape (n,)."""
        known = ~np.isnan(self.losses[name])
        _, first = np.unique(self.copies[name][known], return_index=True)
        return self.losses[name][known][first]


def _compare_with(reference: str, task: Task, lengths: KnownLengths, alpha: float, seed: int) -> list[dict[str, Any]]:
    others = [name for name in task.losses if name != reference]
    if reference not in task.losses:
        note = f"{reference} has no runs on this task"
        return [{**task.group, "optimizer": name, "verdict": "inconclusive", "note": note} for name in others]
    pairs = [Pairs(task, name, reference) for name in others]
    place = tuple(task.group[name] for name in GROUP)
    rows = decide(pairs, alpha, seed)
    notes = ("; ".join(filter(None, [row["note"], lengths.annotate(row, place, reference)])) for row in rows)
    return [{**task.group, **row, "note": note} for row, note in zip(rows, notes, strict=True)]


def _describe_lost(reference: str, task: Task, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns a row for each optimizer of a task of which nothing is known, because its cell failed technically."""
    lost = cells[is_technical(cells).to_numpy()]
    lost = lost[(lost[GROUP] == pd.Series(task.group)[GROUP]).all(axis=1)] if len(lost) else lost
    names = [str(name) for name in lost["optimizer"].unique() if str(name) not in {*task.losses, reference}]
    note = "its cell failed for a technical reason, and no seed was run"
    return [{**task.group, "optimizer": name, "verdict": "inconclusive", "note": note} for name in names]


class Pairs:
    """The paired seeds of an optimizer and the reference on one task."""

    def __init__(self, task: Task, name: str, reference: str) -> None:
        loss, other = task.losses[name], task.losses[reference]
        error = ratio_error(task.errors, task.group, name, reference)
        both = ~np.isnan(loss) & ~np.isnan(other)
        # A seed that repeats another one for both optimizers is not a new observation.
        seen = zip(task.copies[name][both].tolist(), task.copies[reference][both].tolist(), strict=True)
        distinct = sorted({pair: place for place, pair in reversed([*enumerate(seen)])}.values())
        self.copies = int(both.sum()) - len(distinct)
        self.loss, self.other = loss[both][distinct], other[both][distinct]
        # From these two only: a third optimizer with a negative loss must not change their differences.
        ratio = not task.higher_is_better and loss_frames.uses_ratios(np.concatenate([self.loss, self.other]))
        self.name, self.ratio, self.error = name, ratio, error
        self.differences = loss_frames.advantage(self.loss, self.other, ratio)
        #: Seeds on which both failed: nothing was measured.
        self.both_failed = np.isinf(self.loss) & np.isinf(self.other)
        #: Whether the differences have a mean: none is infinite, and no zero stems from two failures.
        self.measured = bool(len(self.loss)) and bool(np.isfinite([self.loss, self.other, self.differences]).all())
        known = self.other[np.isfinite(self.other)]
        size = float(np.abs(self.loss[np.isfinite(self.loss)]).max(initial=np.abs(known).max(initial=0.0)))
        #: The accuracy of a difference; for ratios, it is relative.
        self.resolution = RESOLUTION * (1.0 if ratio else size)
        moved = np.isfinite(self.differences) & ~self.both_failed & (self.loss != 0)
        #: The differences at the low and the high end of the step times' error; one array if both are equal.
        self.ends = [self.differences + np.where(moved, end, 0.0) for end in dict.fromkeys(error)]
        self.margin = math.log(TIE_RATIO) if ratio else TIE_SHARE * abs(float(np.median(known))) if len(known) else 0.0


def decide(pairs: list[Pairs], alpha: float, seed: int) -> list[dict[str, Any]]:
    """Returns the rows of one task, whose tests are one family."""
    p = np.array([_difference_p(one, seed) for one in pairs])
    alike = np.array([_equivalence_p(one, seed) for one in pairs])
    adjusted, alike = paired.holm(p), paired.holm(alike)
    tested = int((~np.isnan(p)).sum())
    return [
        _verdict_row(one, p[index], adjusted[index], alike[index], alpha, tested) for index, one in enumerate(pairs)
    ]


def _difference_p(pairs: Pairs, seed: int) -> float:
    """Returns the largest p-value of all differences that the step times allow; 1 if they allow both signs."""
    low, high = pairs.ends[0], pairs.ends[-1]
    if low is not high and _is_ahead(low) != _is_ahead(high) and not np.isnan(low).any():
        return 1.0
    return max(float(paired.sign_flip(end, seed=seed, resolution=pairs.resolution)) for end in pairs.ends)


def _equivalence_p(pairs: Pairs, seed: int) -> float:
    """Returns the largest p-value of the equivalence test, on the seeds on which not both failed."""
    ended = [end[~pairs.both_failed] for end in pairs.ends]
    return max(float(paired.equivalence(end, pairs.margin, seed, pairs.resolution)) for end in ended)


def _verdict_row(pairs: Pairs, p: float, adjusted: float, alike: float, alpha: float, tested: int) -> dict[str, Any]:
    differences = pairs.differences
    probability = paired.probability_of_improvement(differences)[0]
    bounds = [paired.probability_of_improvement(end)[1:] for end in pairs.ends]
    low, high = bounds[0][0], bounds[-1][1]
    row = {
        "optimizer": pairs.name, "p": p, "p_holm": adjusted, "p_tie": alike, "n_pairs": len(differences),
        "n_failed": int(np.isinf(pairs.loss).sum()), "n_failed_reference": int(np.isinf(pairs.other).sum()),
        "probability": probability, "probability_low": low, "probability_high": high,
        "effect_size": paired.effect_size(differences) if pairs.measured else math.nan, **_effect(pairs),
    }  # fmt: skip
    if len(differences) and np.isinf(pairs.loss).all() and np.isinf(pairs.other).all():
        return row | {"verdict": "inconclusive", "note": _join_notes(pairs, "all runs of both failed")}
    if adjusted <= alpha:
        small = SMALL if alike <= alpha else ""
        return row | {"verdict": "win" if _is_ahead(differences) else "loss", "note": _join_notes(pairs, small)}
    if alike <= alpha:
        return row | {"verdict": "tie", "note": _join_notes(pairs)}
    more, reason = _more_seeds(pairs, alpha, tested)
    return row | {"verdict": "inconclusive", "more_seeds": more, "note": _join_notes(pairs, reason)}


def _is_ahead(differences: np.ndarray) -> bool:
    """Whether the sum of differences is positive; infinite ones outweigh all others, as in the test."""
    infinite = float(np.sign(differences[np.isinf(differences)]).sum())
    return infinite > 0 or (infinite == 0 and float(differences[np.isfinite(differences)].sum()) > 0)


def _effect(pairs: Pairs) -> dict[str, Any]:
    """Returns the mean effect with its interval, as a ratio or a difference."""
    unit = "ratio" if pairs.ratio else "difference"
    differences = pairs.differences
    if not pairs.measured:
        return {"effect": math.nan, "effect_low": math.nan, "effect_high": math.nan, "effect_unit": unit}
    mean, low, high = (
        0.0 if abs(value) <= pairs.resolution else value
        for value in (float(differences.mean()), t_interval(pairs.ends[0])[0], t_interval(pairs.ends[-1])[1])
    )
    if pairs.ratio:
        mean, low, high = (math.exp(-value) for value in (mean, high, low))
    return {"effect": mean, "effect_low": low, "effect_high": high, "effect_unit": unit}


def _more_seeds(pairs: Pairs, alpha: float, tested: int) -> tuple[float, str]:
    """Returns how many more seeds are likely to decide, and the reason if this cannot be estimated."""
    n, differences, error = len(pairs.differences), pairs.differences, max(abs(end) for end in pairs.error)
    if n == 0:
        return math.nan, "no seed was run by both"
    if math.isnan(error):
        return math.nan, "the error of the step times is unknown"
    least = fewest_pairs(alpha, tested)
    comparisons = f"{tested} comparison{'s' * (tested != 1)}"
    too_few = f"fewer than {least} pairs cannot decide {comparisons}" if n < least else ""
    if not pairs.measured:
        reason = f"more seeds cannot be estimated from {_name_unmeasured(pairs)}"
        return math.nan, "; ".join(filter(None, [too_few, reason]))
    if n < 2:
        return math.nan, "; ".join(filter(None, [too_few, "more seeds cannot be estimated from one pair"]))
    deviation = planning.planning_deviation(float(differences.std(ddof=1)), n)
    mean = float(differences.mean())
    needed = planning.plan_seeds(mean, deviation, pairs.margin, alpha, tested, error=error)
    if math.isinf(needed):
        reason = f"even {planning.MOST_SEEDS:,} seeds are unlikely to decide"
        return math.nan, "; ".join(filter(None, [too_few, reason]))
    return max(needed - n, 1), too_few


def _name_unmeasured(pairs: Pairs) -> str:
    """What makes a mean effect impossible: failed runs, or values of 0, whose ratio to others is infinite."""
    failed = not np.isfinite([pairs.loss, pairs.other]).all()
    return "runs that failed or have no finite value" if failed else "values of 0, whose ratio to others is infinite"


def _join_notes(pairs: Pairs, *reasons: str) -> str:
    notes = list(reasons)
    if pairs.copies:
        one = pairs.copies == 1
        repeat = "seed repeats another one and is" if one else "seeds repeat others and are"
        notes.append(f"{pairs.copies} {repeat} not counted")
    if any(pairs.error) and not any(map(math.isnan, pairs.error)):
        low, high = (format_number(100 * math.expm1(end), 2, True) for end in pairs.error)
        notes.append(f"the error of the step times allows a ratio {low} to +{high} % from this one")
    if len(pairs.differences) and not pairs.measured:
        notes.append(f"no mean effect because of {_name_unmeasured(pairs)}")
    return "; ".join(filter(None, notes))
