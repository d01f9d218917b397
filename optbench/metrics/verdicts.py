"""Win, tie, loss or inconclusive: every optimizer against a reference, from paired seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optbench.errors import unknown
from optbench.formatting import significant
from optbench.metrics import losses as loss_frames
from optbench.metrics.timing_error import by_cell, error_of_ratio, timing_errors
from optbench.results.stored import GROUP
from optbench.statistics import paired, planning
from optbench.statistics.intervals import t_interval

#: Ratios of losses within this factor, and differences of metrics within this share of the reference's
#: median, don't matter: optimizers shown to be as close are tied.
TIE_RATIO, TIE_SHARE = 1.05, 0.01
#: Optimizers that are references, the first of them that is there, where none is chosen.
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
    """One row for each optimizer but the reference in each problem, batch size, device and schedule.

    `runs` and `cells` are frames of `optbench.load`, `reference` an optimizer in them (by default the
    first of `REFERENCES`, or else of the cells), `metric` one of `metrics.METRICS`.

    `verdict` is `tie` where the two are shown to differ by less than what matters (`TIE_RATIO`,
    `TIE_SHARE`), `win` or `loss` where the exact sign-flip test says that they differ, both with a
    chance of error of at most `alpha` within a group, by Holm's adjustment over its optimizers; else
    `inconclusive`, and `more_seeds` is how many more are likely to decide (with 80 % power, if the
    effect is as estimated). `effect` is the geometric mean of loss ratios to the reference (below 1:
    better), or by how much the metric is better on average (above 0; `effect_unit`), with its t-interval;
    `effect_size` is mean/deviation of the paired differences, positive where the optimizer is better;
    `probability` that of being better on a new seed, with Clopper and Pearson's bounds. What can't be
    estimated is missing, and `note` says why. Seconds are judged as far as the step times are known: at the
    ends of what the repetitions of the timing pass allow (see `timing_error`), the less certain of which
    counts. Raises UserError for an unknown reference or metric.
    """
    return verdicts_in_turn(runs, cells, [chosen_reference(cells, reference)], metric, alpha, seed)


def verdicts_in_turn(
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    references: Sequence[str],
    metric: str = "test_metric",
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """The `verdicts` against each of these optimizers, one after another in one frame."""
    frame = loss_frames.seed_losses(runs, cells, metric)
    errors = by_cell(timing_errors(cells, metric))
    tasks = [_Task(group, losses, copies, errors) for group, losses, copies in loss_frames.tasks(frame)]
    rows = [
        {**row, "reference": reference, "metric": metric}
        for reference in references
        for task in tasks
        for row in _against(reference, task, alpha, seed)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    texts = ["verdict", "effect_unit", "note"]
    numbers = [name for name in COLUMNS if name.startswith(("effect_", "probability", "p")) and name != "problem"]
    table = table.astype({name: "float64" for name in ["effect", *numbers] if name not in texts})
    table[texts] = table[texts].astype(object).fillna("").astype("str")
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))


def chosen_reference(cells: pd.DataFrame, reference: str | None = None) -> str:
    """The optimizer that others are compared with; raises UserError for one that isn't there."""
    names = [str(name) for name in cells["optimizer"].unique()]
    if reference is not None:
        if reference not in names:
            raise unknown("reference optimizer", reference, names)
        return reference
    return next((name for name in (*REFERENCES, *names) if name in names), "")


class _Task:
    """A problem, batch size, device and schedule: by optimizer the losses of its seeds, and which seed each copies."""

    def __init__(
        self, group: dict[str, Any], losses: pd.DataFrame, copies: pd.DataFrame, errors: Mapping[Any, Any]
    ) -> None:
        self.group, self.errors = group, errors
        # Looked up here once: a column of a frame takes longer than what is computed of it.
        self.losses = {str(name): column.to_numpy(dtype=float) for name, column in losses.items()}
        self.copies = {str(name): column.to_numpy(dtype=float) for name, column in copies.items()}


def _against(reference: str, task: _Task, alpha: float, seed: int) -> list[dict[str, Any]]:
    others = [name for name in task.losses if name != reference]
    if reference not in task.losses:
        # The reference has no runs here: nothing is compared, and the reader is told so.
        note = f"{reference} has no runs here"
        return [{**task.group, "optimizer": name, "verdict": "inconclusive", "note": note} for name in others]
    pairs = [_Pairs(task, name, reference) for name in others]
    return [{**task.group, **row} for row in _decide(pairs, alpha, seed)]


class _Pairs:
    """The paired seeds of an optimizer and the reference on one task."""

    def __init__(self, task: _Task, name: str, reference: str) -> None:
        loss, other = task.losses[name], task.losses[reference]
        error = error_of_ratio(task.errors, task.group, name, reference)
        both = ~np.isnan(loss) & ~np.isnan(other)
        # Seeds that repeat another one in both optimizers are the same observation again.
        seen = zip(task.copies[name][both].tolist(), task.copies[reference][both].tolist(), strict=True)
        distinct = sorted({pair: place for place, pair in reversed([*enumerate(seen)])}.values())
        self.copies = int(both.sum()) - len(distinct)
        self.loss, self.other = loss[both][distinct], other[both][distinct]
        # From the two alone: a third optimizer with a negative loss must not change what these differ by.
        ratio = loss_frames.logarithmic(np.concatenate([self.loss, self.other]))
        self.name, self.ratio, self.error = name, ratio, error
        self.differences = loss_frames.advantage(self.loss, self.other, ratio)
        #: Where both failed they are alike in nothing that was measured.
        self.both_failed = np.isinf(self.loss) & np.isinf(self.other)
        #: Whether the differences have a mean: none is infinite, and none the zero of two failures.
        self.measured = bool(len(self.loss)) and bool(np.isfinite([self.loss, self.other, self.differences]).all())
        known = self.other[np.isfinite(self.other)]
        size = float(np.abs(self.loss[np.isfinite(self.loss)]).max(initial=np.abs(known).max(initial=0.0)))
        #: What a difference is known to: a relative one on the ratio's scale.
        self.resolution = loss_frames.RESOLUTION * (1.0 if ratio else size)
        moved = np.isfinite(self.differences) & ~self.both_failed & (self.loss != 0)
        #: The differences at the low and the high end of what is known of the step times; one where both are the same.
        self.ends = [self.differences + np.where(moved, end, 0.0) for end in dict.fromkeys(error)]
        self.margin = math.log(TIE_RATIO) if ratio else TIE_SHARE * abs(float(np.median(known))) if len(known) else 0.0


def _decide(pairs: list[_Pairs], alpha: float, seed: int) -> list[dict[str, Any]]:
    """The rows of one task, whose tests are one family."""
    p = np.array([_differ(one, seed) for one in pairs])
    alike = np.array([_alike(one, seed) for one in pairs])
    adjusted, alike = paired.holm(p), paired.holm(alike)
    tested = int((~np.isnan(p)).sum())
    return [_row(one, p[index], adjusted[index], alike[index], alpha, tested) for index, one in enumerate(pairs)]


def _differ(pairs: _Pairs, seed: int) -> float:
    """The largest p of all differences that the step times allow: 1 where they allow both signs."""
    low, high = pairs.ends[0], pairs.ends[-1]
    if low is not high and _leads(low) != _leads(high) and not np.isnan(low).any():
        return 1.0
    return max(float(paired.sign_flip(end, seed=seed, resolution=pairs.resolution)) for end in pairs.ends)


def _alike(pairs: _Pairs, seed: int) -> float:
    """The same of the two being alike, from the seeds on which not both failed."""
    ended = [end[~pairs.both_failed] for end in pairs.ends]
    return max(float(paired.equivalence(end, pairs.margin, seed, pairs.resolution)) for end in ended)


def _row(pairs: _Pairs, p: float, adjusted: float, alike: float, alpha: float, tested: int) -> dict[str, Any]:
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
        return row | {"verdict": "inconclusive", "note": _notes(pairs, "every run of both failed")}
    if alike <= alpha:
        return row | {"verdict": "tie", "note": _notes(pairs)}
    if adjusted <= alpha:
        return row | {"verdict": "win" if _leads(differences) else "loss", "note": _notes(pairs)}
    more, reason = _more_seeds(pairs, alpha, tested)
    return row | {"verdict": "inconclusive", "more_seeds": more, "note": _notes(pairs, reason)}


def _leads(differences: np.ndarray) -> bool:
    """Whether the sum of differences is positive, infinite ones before all others, as in the test."""
    infinite = float(np.sign(differences[np.isinf(differences)]).sum())
    return infinite > 0 or (infinite == 0 and float(differences[np.isfinite(differences)].sum()) > 0)


def _effect(pairs: _Pairs) -> dict[str, Any]:
    """The mean effect with its interval, in the unit in which people read it."""
    unit = "ratio" if pairs.ratio else "difference"
    differences = pairs.differences
    if not pairs.measured:
        return {"effect": math.nan, "effect_low": math.nan, "effect_high": math.nan, "effect_unit": unit}
    mean, low, high = float(differences.mean()), t_interval(pairs.ends[0])[0], t_interval(pairs.ends[-1])[1]
    if pairs.ratio:
        mean, low, high = (math.exp(-value) for value in (mean, high, low))
    return {"effect": mean, "effect_low": low, "effect_high": high, "effect_unit": unit}


def _more_seeds(pairs: _Pairs, alpha: float, tested: int) -> tuple[float, str]:
    """How many more seeds are likely to decide, and why that can't be said where it can't."""
    n, differences, error = len(pairs.differences), pairs.differences, max(abs(end) for end in pairs.error)
    if n == 0:
        return math.nan, "no seed that both have run"
    if math.isnan(error):
        return math.nan, "the error of the step times isn't known"
    least = planning.fewest_pairs(alpha, tested)
    too_few = f"fewer than {least} pairs can't decide between {tested + 1} optimizers" if n < least else ""
    if not pairs.measured:
        return math.nan, "; ".join(filter(None, [too_few, "failed runs have no size of effect to plan with"]))
    if n < 2:
        return math.nan, "; ".join(filter(None, [too_few, "one pair has no spread to plan with"]))
    deviation = planning.planning_deviation(float(differences.std(ddof=1)), n)
    mean = float(differences.mean())
    needed = planning.seeds_needed(mean, deviation, pairs.margin, alpha, tested, error=error)
    if math.isinf(needed):
        reason = f"not even {planning.MOST_SEEDS:,} seeds are likely to decide"
        return math.nan, "; ".join(filter(None, [too_few, reason]))
    return max(needed - n, 1), too_few


def _notes(pairs: _Pairs, *reasons: str) -> str:
    notes = list(reasons)
    if pairs.copies:
        notes.append(f"{pairs.copies} seeds repeat others bit by bit and were not counted again")
    if any(pairs.error) and not any(map(math.isnan, pairs.error)):
        low, high = (significant(100 * math.expm1(end), 2, True) for end in pairs.error)
        notes.append(f"by the step times the ratio may be {low} to +{high} % off")
    if len(pairs.differences) and not pairs.measured:
        notes.append("no mean effect, since it is infinite on some seeds or both failed")
    return "; ".join(filter(None, notes))
