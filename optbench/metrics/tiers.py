"""How far a small tier of problems predicts a large one: ranks, verdicts, and the regret of its best optimizer.

The tiers are two results with the same optimizers, such as networks on digits and on MNIST. Their problems belong
together if they have the same name without parameters, and their tasks if they also have the same batch size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from optbench.errors import UserError
from optbench.metrics import losses as loss_frames
from optbench.metrics.agreement import COUNTS, TaskLosses, agreement, drop_copies
from optbench.metrics.compared import directions
from optbench.metrics.ranking import higher_is_better
from optbench.metrics.verdicts import choose_reference, verdicts_against
from optbench.results.stored import GROUP

#: The scope of the row for all tasks of both tiers.
ALL = "all"
DECIDED = ("win", "loss", "tie")
#: How a verdict of the small tier fares in the large one.
HELD, REVERSED, CHANGED, UNDECIDED = "held", "reversed", "changed", "undecided"

COLUMNS = [
    "scope", "problems", "problems_other",
    "tau", "tau_low", "tau_high", "optimizers", "tasks", "tasks_other", "kept", "reversed", "tied", "seeds",
    "seeds_other", "winner", "rank_other", "best_other", "regret", "regret_low", "regret_high", "regret_unit",
    "decided", *(f"verdicts_{name}" for name in (HELD, REVERSED, CHANGED, UNDECIDED)), "reference", "metric", "note",
]  # fmt: skip
_COUNTS = [*COUNTS, "tasks", "tasks_other", *(name for name in COLUMNS if name.startswith("verdicts_")), "decided"]
TASK_COLUMNS = [
    "scope", "problem", "batch_size", "problem_other", "batch_size_other", "optimizer", "median", "median_other",
    "rank", "rank_other", "verdict", "verdict_other", "outcome", "metric",
]  # fmt: skip


_Task = tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True)
class Tier:
    """The frames of one tier, and what they hold by a metric."""

    runs: pd.DataFrame
    cells: pd.DataFrame
    metric: str

    @cached_property
    def losses(self) -> pd.DataFrame:
        """One loss per compared run, lower being better."""
        return loss_frames.seed_losses(self.runs, self.cells, self.metric)

    @cached_property
    def tasks(self) -> list[_Task]:
        """For each task, its `GROUP` values, its losses (seeds by optimizers), and the seed that each copies."""
        return loss_frames.tasks(self.losses)

    @cached_property
    def higher(self) -> Mapping[str, bool]:
        """Whether a higher metric is better, by problem."""
        return {str(name): higher_is_better(self.metric, bool(flag)) for name, flag in directions(self.cells).items()}

    def against(self, reference: str) -> pd.DataFrame:
        """Returns the verdicts of all optimizers against one of them."""
        return verdicts_against(self.runs, self.cells, [reference], self.metric)

    @property
    def families(self) -> set[str]:
        """The families of its problems."""
        return {family(group["problem"]) for group, *_ in self.tasks}

    def restricted(self, optimizers: set[str], families: set[str]) -> Tier:
        """Returns the tier with these optimizers and families of problems alone."""

        def keep(frame: pd.DataFrame) -> pd.DataFrame:
            own = frame["problem"].astype(str).map(family)
            return frame[frame["optimizer"].isin(optimizers) & own.isin(families)]

        return Tier(keep(self.runs), keep(self.cells), self.metric)

    def within(self, scope: str) -> list[_Task]:
        """Returns the tasks of a scope."""
        return [task for task in self.tasks if scope in (ALL, family(task[0]["problem"]))]


def family(problem: str) -> str:
    """Returns the name of a problem without its parameters."""
    return problem.partition("[")[0]


def compare_tiers(
    small: tuple[pd.DataFrame, pd.DataFrame],
    large: tuple[pd.DataFrame, pd.DataFrame],
    metric: str = "test_metric",
    reference: str | None = None,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compares what two tiers say of the optimizers that both have.

    The first table has one row per family of problems that both tiers have, and if these are several, one for all of
    them. Problems of other families are left out; if no family is in both, there is one row for all tasks. `problems`
    and `problems_other` are the labels of the problems of each tier; `tau` and the columns up to `seeds_other` are
    those of `agreement.agreement`.

    - `winner`: the optimizer with the lowest mean rank in the small tier; `rank_other` is its rank in the large one,
      whose first is `best_other`.
    - `regret`: by how much the winner is worse than the best optimizer of the large tier, as `effect` in `verdicts`
      (`regret_unit`: a ratio of losses, or a difference of the metric), with the interval; the worst of the tasks. The
      best one is chosen on the same runs, so the regret is rather too large.
    - `decided`: verdicts of the small tier against the reference, on tasks that have a partner, that are decided. Of
      these, `verdicts_held` are the same in the large tier, `verdicts_reversed` the opposite, `verdicts_changed` a
      tie in one of the two, and `verdicts_undecided` inconclusive there.

    The second table has one row per optimizer and pair of tasks: its medians, ranks and verdicts in both tiers.

    Args:
        small: Frames of runs and cells of the small tier.
        large: The same of the large tier.
        metric: One of `metrics.METRICS`.
        reference: The optimizer of the verdicts (default: as in `verdicts`).
        seed: Seed of the bootstrap.

    Raises:
        UserError: The tiers have fewer than two optimizers in common, or the metric or the reference is unknown.
    """
    one, other = Tier(*small, metric), Tier(*large, metric)
    shared = {*map(str, one.losses["optimizer"].unique())} & {*map(str, other.losses["optimizer"].unique())}
    if len(shared) < 2:
        raise UserError("the tiers have fewer than two optimizers in common; run the same ones in both")
    families = one.families & other.families
    one = one.restricted(shared, families or one.families)
    other = other.restricted(shared, families or other.families)
    chosen = choose_reference(one.cells, reference)
    tasks = _task_rows(one, other, list(_match(one, other)), chosen)
    scopes = [*sorted(families), *([ALL] if len(families) != 1 else [])]
    rows = [row for scope in scopes if (row := _scope_row(scope, one, other, tasks, chosen, seed))]
    if not rows:
        raise UserError("no two optimizers have runs on the same seeds in both tiers; run the same ones in both")
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = ["tau", "tau_low", "tau_high", "regret", "regret_low", "regret_high", "rank_other"]
    return table.astype(dict.fromkeys(numbers, "float64")).astype(dict.fromkeys(_COUNTS, "Int64")), tasks


def _match(one: Tier, other: Tier) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yields the pairs of tasks with the same family and batch size, if each tier has one of them."""

    def by_key(tier: Tier) -> dict[tuple[str, int], list[dict[str, Any]]]:
        found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for group, *_ in tier.tasks:
            found.setdefault((family(group["problem"]), int(group["batch_size"])), []).append(group)
        return found

    mine, theirs = by_key(one), by_key(other)
    for key, groups in mine.items():
        partners = theirs.get(key, [])
        if len(groups) == len(partners) == 1:
            yield groups[0], partners[0]


def _task_rows(
    one: Tier, other: Tier, matched: list[tuple[dict[str, Any], dict[str, Any]]], reference: str
) -> pd.DataFrame:
    said, there = (_verdicts_by_task(tier, reference) for tier in (one, other))
    ranked = [_ranks_by_task(tier) for tier in (one, other)]
    rows = []
    for mine, theirs in matched:
        keys = [tuple(group[name] for name in GROUP) for group in (mine, theirs)]
        for optimizer, (loss, rank) in ranked[0][keys[0]].items():
            if optimizer in ranked[1][keys[1]]:
                loss_other, rank_other = ranked[1][keys[1]][optimizer]
                verdict, verdict_other = said.get((*keys[0], optimizer), ""), there.get((*keys[1], optimizer), "")
                rows.append(
                    {
                        "scope": family(mine["problem"]), "problem": mine["problem"], "batch_size": mine["batch_size"],
                        "problem_other": theirs["problem"], "batch_size_other": theirs["batch_size"],
                        "optimizer": optimizer, "median": _sign(one, mine) * loss,
                        "median_other": _sign(other, theirs) * loss_other, "rank": rank, "rank_other": rank_other,
                        "verdict": verdict, "verdict_other": verdict_other,
                        "outcome": _outcome(verdict, verdict_other), "metric": one.metric,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=TASK_COLUMNS)


def _sign(tier: Tier, group: dict[str, Any]) -> float:
    return -1.0 if tier.higher.get(group["problem"], False) else 1.0


def _verdicts_by_task(tier: Tier, reference: str) -> dict[tuple[Any, ...], str]:
    table = tier.against(reference)
    return dict(zip(table[[*GROUP, "optimizer"]].itertuples(index=False, name=None), table["verdict"], strict=True))


def _ranks_by_task(tier: Tier) -> dict[tuple[Any, ...], dict[str, tuple[float, float]]]:
    """Returns for each task the median loss and the rank of each optimizer."""
    found: dict[tuple[Any, ...], dict[str, tuple[float, float]]] = {}
    for row in loss_frames.task_ranks(tier.losses).to_dict("records"):
        key = tuple(row[name] for name in GROUP)
        found.setdefault(key, {})[str(row["optimizer"])] = (float(row["loss"]), float(row["rank"]))
    return found


def _outcome(verdict: str, other: str) -> str:
    """Returns how a verdict of the small tier fares in the large one; empty if it is not decided."""
    if verdict not in DECIDED:
        return ""
    if other not in DECIDED:
        return UNDECIDED
    if verdict == other:
        return HELD
    return CHANGED if "tie" in (verdict, other) else REVERSED


def _scope_row(
    scope: str, one: Tier, other: Tier, tasks: pd.DataFrame, reference: str, seed: int
) -> dict[str, Any] | None:
    """Returns the row of a family of problems, or of all tasks."""
    own, others = one.within(scope), other.within(scope)
    first, second = _common(own, others), _common(others, own)
    found = agreement(first, second, seed) if first and second else None
    if found is None:
        return None
    mine, theirs = _mean_ranks(first), _mean_ranks(second)
    winner, best = str(mine.idxmin()), str(theirs.idxmin())
    outcomes = (tasks if scope == ALL else tasks[tasks["scope"] == scope])["outcome"].value_counts()
    regret = _regret(other, scope, winner)
    return {
        "scope": scope, "problems": _labels(first), "problems_other": _labels(second), **found,
        "tasks": len(first), "tasks_other": len(second), "winner": winner,
        "rank_other": float(theirs.rank()[winner]), "best_other": best, **regret,
        "decided": sum(int(outcomes.get(name, 0)) for name in (HELD, REVERSED, CHANGED, UNDECIDED)),
        **{f"verdicts_{name}": int(outcomes.get(name, 0)) for name in (HELD, REVERSED, CHANGED, UNDECIDED)},
        "reference": reference, "metric": one.metric,
        "note": "; ".join(filter(None, [found["note"], regret.get("note", "")])),
    }  # fmt: skip


def _common(own: list[_Task], others: list[_Task]) -> list[TaskLosses]:
    """Returns the losses of one side, of the optimizers that the other side has too, on the seeds that all have."""
    names = {str(name) for _, losses, _ in others for name in losses}
    sides = []
    for group, losses, copies in own:
        shared = losses[[name for name in losses if name in names]].dropna()
        if shared.shape[1] > 1 and len(shared):
            sides.append((group["problem"], drop_copies(shared, copies)))
    return sides


def _labels(side: list[TaskLosses]) -> str:
    return "; ".join(sorted({problem for problem, _ in side}))


def _mean_ranks(side: list[TaskLosses]) -> pd.Series:
    """Returns the mean rank of each optimizer over the tasks of a side."""
    return pd.concat([losses.median().rank() for _, losses in side], axis=1).mean(axis=1).sort_index()


def _regret(other: Tier, scope: str, winner: str) -> dict[str, Any]:
    """Returns the regret of an optimizer against the best one of each task, on the task where it is worst."""
    against = other.against(winner).set_index([*GROUP, "optimizer"])
    worst: dict[str, Any] = {"regret": np.nan, "regret_low": np.nan, "regret_high": np.nan, "regret_unit": ""}
    excess = -np.inf
    for group, losses, copies in other.within(scope):
        if winner not in losses:
            continue
        best = str(drop_copies(losses, copies).median().sort_index().idxmin())
        key = (*(group[name] for name in GROUP), best)
        known = _NO_REGRET if best == winner else _regret_of(against.loc[key])
        size = np.inf if np.isnan(known["regret"]) else float(known["regret"])
        if size > excess:
            worst, excess = known, size
    return worst


_NO_REGRET: dict[str, Any] = {
    "regret": 0.0,
    "regret_low": 0.0,
    "regret_high": 0.0,
    "regret_unit": "difference",
    "note": "",
}


def _regret_of(verdict: pd.Series) -> dict[str, Any]:
    """Returns the regret from the verdict of the best optimizer against the winner of the small tier.

    The effect of a verdict is a ratio of losses (below 1: better) or a difference of the metric (above 0: better).
    """
    values = [float(verdict[name]) for name in ("effect", "effect_low", "effect_high")]
    if verdict["effect_unit"] == "ratio":
        values = [1 / value - 1 for value in (values[0], values[2], values[1])]
    unit, note = verdict["effect_unit"], verdict["note"] if np.isnan(values[0]) else ""
    return dict(zip(("regret", "regret_low", "regret_high"), values, strict=True)) | {"regret_unit": unit, "note": note}
