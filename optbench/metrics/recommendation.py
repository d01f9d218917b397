"""Recommends an optimizer, its learning rate and its batch size for a given tuning budget.

What it recommends rests on the final runs on fresh seeds, as the leaderboard and the verdicts do. For a budget that
leads to hyperparameters without final runs, it rests on single trials instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics import fresh_seeds
from optbench.metrics.compared import is_technical
from optbench.metrics.known_length import KnownLengths
from optbench.metrics.losses import require_columns
from optbench.metrics.ranking import name_metric
from optbench.metrics.recommendation_text import ALL, FRESH, TRIALS, write_sentence
from optbench.metrics.tuning_budget import (
    MOST_TRIALS,
    Budget,
    apply_budget,
    choose_budgets,
    convert_to_runs,
    explain_large_budget,
    explain_small_budget,
    list_trials,
)
from optbench.metrics.verdicts import verdicts_against
from optbench.results.stored import GROUP
from optbench.statistics.intervals import t_interval

__all__ = [
    "ALL", "MOST_TRIALS", "Budget", "choose_budgets", "explain_large_budget", "explain_small_budget", "recommendation",
]  # fmt: skip

COLUMNS = [
    "trials", "tuning_worth", "seconds", "memory_bytes", "scope", "optimizer", "recommended", "rests_on", "batch_size",
    "others", "metric", "n_seeds", "value", "mean", "mean_low", "mean_high", "expected_regret", "regret_low",
    "regret_high", "not_told_apart", "lr_start", "lr_low", "lr_high", "problems", "tasks", "feasible_tasks", "sentence",
    "note", "cell_id",
]  # fmt: skip
#: A cell with its choice within a budget, and how it ended on fresh seeds.
_Cell = dict[Any, Any]
_FLOATS = ["tuning_worth", "seconds", "memory_bytes", "value", "mean", "mean_low", "mean_high"]


def recommendation(
    trials: pd.DataFrame,
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    budgets: Sequence[Budget] | None = None,
    curves: pd.DataFrame | None = None,
    metric: str = "test_metric",
) -> pd.DataFrame:
    """Returns one row per budget, scope and optimizer, the best first; recommended ones have a `sentence`.

    `tuning_worth` is the compute of the budget's `trials` in run budgets. Scopes are all tasks, problems with several
    tasks, and tasks. Within a budget, the hyperparameters of a cell are those of its lowest validation loss among the
    first trials that fit. If these are the tuned ones or the default, there are final runs with them, and the row
    `rests_on` these fresh seeds:

    - On one problem, optimizers are in the order of their best cell's median `metric`, the leaderboard's. `batch_size`,
      `lr_start`, `others`, `n_seeds`, `value` (that median), `mean` and its t-interval are of that cell, `cell_id`.
    - On several problems, the order is that of the page (see `fresh_seeds.order_overall`).
    - `not_told_apart` is false if the recommended optimizer is significantly better: by the verdicts on its task, or,
      on several problems, by the probability of improvement. It is missing if the two have no seeds in common.

    Otherwise the row rests on trials: the order is that of `expected_regret`, and `not_told_apart` is true if the
    interval of the difference over problems contains zero.

    `expected_regret` is exp(mean over problems of the mean over tasks of log(L/L*)) − 1, where L* is the lowest loss of
    any optimizer: the median test loss over fresh seeds, or the validation loss of a trial. Its interval is Student's
    over problems, and missing for one problem. `lr_start` was tried: over several tasks, it is the chosen rate nearest
    to the geometric mean of those chosen, whose range is given. An optimizer that is not feasible on all tasks of
    several problems is not recommended; `note` gives the reasons. If none is, the sentence of the first row says so.

    Args:
        trials: Frame of trials.
        runs: Frame of runs.
        cells: Frame of cells.
        budgets: The budgets; by default those of `choose_budgets`, or no tuning if nothing was tuned.
        curves: Frame of curves, whose starts order optimizers that are equal over several problems.
        metric: The metric by which optimizers are ranked, one of `metrics.METRICS`.

    Raises:
        UserError: A frame lacks a column, or the metric is unknown.
    """
    require_columns(trials, "trials", ["cell_id", "trial", "lr", "status", "valid_loss", "cost"])
    cells, runs = cells.drop_duplicates("cell_id"), runs[~is_technical(runs)]
    budgets = choose_budgets(trials, cells) or [Budget(trials=1)] if budgets is None else budgets
    tried = list_trials(trials, runs, cells)
    rows: list[dict[str, Any]] = []
    for budget in budgets:
        choices, worth = apply_budget(tried, cells, budget), convert_to_runs(budget, tried, cells)
        evidence = _Evidence(choices, runs, cells, curves, metric)
        for scope, part in _list_scopes(evidence.choices):
            ranked = evidence.rank(part)
            about = {"scope": scope, "tuning_worth": worth, **_limit_columns(budget)}
            rows += [
                row | about | {"sentence": write_sentence(row, ranked, scope, budget, worth, len(trials) > 0)}
                for row in ranked
            ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    types = {"recommended": "bool", "not_told_apart": "boolean", "trials": "Int64", "batch_size": "Int64"}
    return table.astype({**types, "n_seeds": "Int64", **dict.fromkeys(_FLOATS, "float64")})


def _limit_columns(budget: Budget) -> dict[str, Any]:
    return {"trials": budget.trials, "seconds": budget.seconds, "memory_bytes": budget.memory_bytes}


def _list_scopes(choices: list[_Cell]) -> list[tuple[str, list[_Cell]]]:
    """Returns the scopes with their cells: all tasks, problems with several tasks (if there are others), and tasks."""
    problems = _group(choices, lambda cell: str(cell["problem"]))
    tasks = _group(choices, _task)
    scopes = [(ALL, choices)] if choices else []
    if len(problems) > 1:
        scopes += [(name, part) for name, part in problems.items() if _count_tasks(part) > 1]
    for (problem, batch_size, device, schedule), part in tasks.items():
        scopes.append((f"{problem}, batch {batch_size}, {device}, {schedule}", part))
    return scopes


class _Evidence:
    """What is known about the choices within a budget: their trials, and the final runs with the same values."""

    def __init__(
        self, choices: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame, curves: pd.DataFrame | None, metric: str
    ) -> None:
        self.cells, self.curves, self.metric = cells, curves, metric
        self.runs = fresh_seeds.final_runs(choices, runs)
        self._runs_by_task = dict(iter(self.runs.groupby(GROUP, observed=True)))
        self._judged: dict[Any, pd.DataFrame] = {}
        self._lengths = KnownLengths(self.runs, cells)
        matched = fresh_seeds.match_seeds(self.runs, choices, runs)
        self.measured = fresh_seeds.measure_cells(matched, cells, metric)
        figures = self.measured.drop(columns=[*GROUP, "optimizer"]).rename(columns={"lr": "lr_final"})
        table = choices.assign(has_runs=choices["cell_id"].isin(runs["cell_id"]))
        self.choices: list[_Cell] = table.merge(figures, on="cell_id", how="left").to_dict("records")
        for cell in self.choices:
            cell["optimizer"] = str(cell["optimizer"])
            cell["others"] = cell["others"] if cell["runs"] == "tuned" else ""  # those of the cell are the tuned ones
            cell["lr"] = cell["lr"] if math.isnan(cell["lr_final"]) else cell["lr_final"]

    def rank(self, part: list[_Cell]) -> list[dict[str, Any]]:
        """Returns the optimizers of a scope as rows, the best first."""
        rows = self._rank(part)
        tasks = [_task(rows[0])] if rows[0]["metric"] else list(dict.fromkeys(map(_task, part)))
        knows = self._lengths.explain(tasks, rows[0]["optimizer"], [row["optimizer"] for row in rows[1:]])
        rows[0]["knows"] = f"{rows[0]['optimizer']} {knows}" if knows else ""
        return rows

    def _rank(self, part: list[_Cell]) -> list[dict[str, Any]]:
        able = [cell for cell in part if not cell["reason"]]
        # A choice whose cell was repeated on fresh seeds with other values can only be compared by trials.
        unmatched = any(cell["has_runs"] and math.isnan(cell["n_seeds"]) for cell in able)
        if unmatched or all(math.isnan(cell["n_seeds"]) for cell in able):
            return self._rank_by_trials(part)
        failed = f"half or more of its final runs failed or have no finite {self.metric.replace('_', ' ')}"
        part = [cell | {"reason": cell["reason"] or _explain_missing(cell, failed)} for cell in part]
        several = len({cell["problem"] for cell in part}) > 1
        return self._rank_by_order(part) if several else self._rank_by_best_cell(part)

    def _rank_by_best_cell(self, part: list[_Cell]) -> list[dict[str, Any]]:
        """Returns the rows on one problem: each optimizer has its best batch size, device and schedule."""
        able = sorted((c for c in part if not c["reason"]), key=lambda c: (c["score"], c["optimizer"], c["batch_size"]))
        lowest = min((cell["test_loss"] for cell in able), default=math.nan)
        tasks, rows = _count_tasks(part), []
        for name, own in _group(part, lambda cell: cell["optimizer"]).items():
            row = _describe(own, tasks) | {"rests_on": FRESH}
            cell = next((cell for cell in able if cell["optimizer"] == name), None)
            if cell is not None:
                row |= {
                    key: cell[key] for key in ("cell_id", "others", "score", "value", "mean", "mean_low", "mean_high")
                }
                row |= {key: cell[key] for key in GROUP} | {"n_seeds": int(cell["n_seeds"])}
                row |= {"where": _name_place(cell, part), "metric": self._name_metric(cell["problem"])}
                row |= dict.fromkeys(("lr_start", "lr_low", "lr_high"), float(cell["lr"]))
                row |= _estimate_regret(np.array([_log_ratio(cell["test_loss"], lowest)]))
            rows.append(row)
        rows.sort(key=lambda row: (row.get("score", math.inf), row["optimizer"]))
        if able:
            judged = self._judge_others(rows[0])
            judged = judged[judged["n_pairs"] > 0]
            _mark(rows, dict(zip(judged["optimizer"], judged["verdict"] != "loss", strict=True)))
        return rows

    def _judge_others(self, best: dict[str, Any]) -> pd.DataFrame:
        """Returns the verdicts of all others against an optimizer on its task (see `metrics.verdicts`)."""
        task = _task(best)
        if (task, best["optimizer"]) not in self._judged:
            own = self._runs_by_task[task]
            self._judged[task, best["optimizer"]] = verdicts_against(own, self.cells, [best["optimizer"]], self.metric)
        return self._judged[task, best["optimizer"]]

    def _rank_by_order(self, part: list[_Cell]) -> list[dict[str, Any]]:
        """Returns the rows on several problems, in the order of the page's leaderboard."""
        order, improvement = fresh_seeds.compare_overall(self.runs, self.curves, self.cells, self.measured, self.metric)
        places = {name: place for place, name in enumerate(order["optimizer"])}
        able = [cell for cell in part if not cell["reason"]]
        lowest = {task: min(cell["test_loss"] for cell in own) for task, own in _group(able, _task).items()}
        part = [cell | {"regret": _log_ratio(cell["test_loss"], lowest.get(_task(cell), math.nan))} for cell in part]
        tasks, rows = _count_tasks(part), []
        for name, own in _group(part, lambda cell: cell["optimizer"]).items():
            row = _describe(own, tasks) | {"rests_on": FRESH}
            if row["feasible_tasks"] == tasks:
                seeds = [int(cell["n_seeds"]) for cell in own]
                row |= {"n_seeds": min(seeds), "most_seeds": max(seeds), "place": places[name]}
                row |= _estimate_regret(_mean_by_problem(own))
            rows.append(row)
        rows.sort(key=lambda row: (row.get("place", math.inf), row["optimizer"]))
        if "place" in rows[0]:
            ranked = [row["optimizer"] for row in rows if "place" in row]
            own = improvement[(improvement["optimizer"] == rows[0]["optimizer"]) & improvement["other"].isin(ranked)]
            own = own[own["n_pairs"] > 0]
            _mark(rows, dict(zip(own["other"], own["probability_low"] <= 0.5, strict=True)))
        return rows

    def _rank_by_trials(self, part: list[_Cell]) -> list[dict[str, Any]]:
        """Returns the rows of a scope by the validation losses of single trials."""
        part = [
            cell | {"reason": cell["reason"] or ("losses that are not positive" if math.isnan(cell["regret"]) else "")}
            for cell in part
        ]
        tasks, rows, means = _count_tasks(part), [], {}
        for name, own in _group(part, lambda cell: cell["optimizer"]).items():
            row = _describe(own, tasks) | {"rests_on": TRIALS}
            # Only optimizers that are feasible on every task of the scope can be recommended.
            if row["feasible_tasks"] == tasks:
                means[name] = _mean_by_problem(own)
                row |= _estimate_regret(means[name])
            rows.append(row)
        rows.sort(key=lambda row: (math.isnan(row["expected_regret"]), row["expected_regret"], row["optimizer"]))
        best = rows[0]["optimizer"]
        if best in means:
            bounds = {name: t_interval(mean - means[best]) for name, mean in means.items()}
            _mark(rows, {name: low <= 0 <= high for name, (low, high) in bounds.items() if not math.isnan(low)})
        return rows

    def _name_metric(self, problem: str) -> str:
        return name_metric(self.metric, str(self.cells.loc[self.cells["problem"] == problem, "metric_name"].iloc[0]))


def _group(cells: list[_Cell], key: Callable[[_Cell], Any]) -> dict[Any, list[_Cell]]:
    """Returns the cells by a key, in its order."""
    groups: dict[Any, list[_Cell]] = {}
    for cell in sorted(cells, key=key):
        groups.setdefault(key(cell), []).append(cell)
    return groups


def _task(cell: _Cell) -> tuple[Any, ...]:
    return tuple(cell[name] for name in GROUP)


def _count_tasks(part: list[_Cell]) -> int:
    return len(set(map(_task, part)))


def _explain_missing(cell: _Cell, failed: str) -> str:
    """Returns why a cell has no median over final runs, or an empty text."""
    return "no final run" if math.isnan(cell["n_seeds"]) else failed if math.isinf(cell["score"]) else ""


def _name_place(cell: _Cell, part: list[_Cell]) -> str:
    """Returns the batch size of a cell in words, with its schedule and device where others of the scope differ."""
    several = {name: len({other[name] for other in part}) > 1 for name in ("schedule", "device")}
    text = f"batch size {cell['batch_size']}"
    text += f" with schedule {cell['schedule']}" if several["schedule"] else ""
    return text + (f" on {cell['device']}" if several["device"] else "")


def _describe(own: list[_Cell], tasks: int) -> dict[str, Any]:
    """Returns the columns that depend on one optimizer's cells in a scope only."""
    able = [cell for cell in own if not cell["reason"]]
    rates = np.array(sorted(cell["lr"] for cell in able if cell["lr"] > 0))
    logs = np.log(rates)
    start, low, high = (math.nan,) * 3
    if len(rates):
        start, low, high = rates[np.abs(logs - logs.mean()).argmin()], rates[0], rates[-1]
    return {
        "optimizer": own[0]["optimizer"], "recommended": False, "not_told_apart": pd.NA,
        "problems": len({cell["problem"] for cell in own}), "tasks": len(own), "feasible_tasks": len(able),
        "lr_start": float(start), "lr_low": float(low), "lr_high": float(high), "others": "", "metric": "",
        "cell_id": "", "batch_size": None, "n_seeds": None, "cut": any(cell["cut"] for cell in own),
        "note": _explain_infeasible([cell["reason"] for cell in own], tasks),
        **dict.fromkeys(("expected_regret", "regret_low", "regret_high"), math.nan),
    }  # fmt: skip


def _mark(rows: list[dict[str, Any]], close: Mapping[str, Any]) -> None:
    """Marks the first row as recommended, and the others by whether they are not told apart from it, if it is known."""
    rows[0] |= {"recommended": True, "not_told_apart": False}
    for row in rows[1:]:
        if row["optimizer"] in close:
            row["not_told_apart"] = bool(close[row["optimizer"]])


def _explain_infeasible(reasons: list[str], tasks: int) -> str:
    """Returns why an optimizer is not feasible on all tasks, with the number of tasks for each reason."""
    counts = sorted(Counter(filter(None, reasons)).items())
    pairs = [*counts, ("not run", tasks - len(reasons))]
    return "; ".join(f"{text} on {count} task{'s' * (count != 1)}" for text, count in pairs if count)


def _log_ratio(loss: float, lowest: float) -> float:
    """Returns log(loss/lowest); NaN unless both are positive."""
    return math.log(loss / lowest) if loss > 0 and lowest > 0 and math.isfinite(loss) else math.nan


def _mean_by_problem(own: list[_Cell]) -> np.ndarray:
    groups = _group(own, lambda cell: cell["problem"])
    return np.array([np.mean([cell["regret"] for cell in part]) for part in groups.values()])


def _estimate_regret(means: np.ndarray) -> dict[str, float]:
    """Returns the expected regret over problems with its interval, from the mean log regret of each problem."""
    low, high = t_interval(means) if len(means) > 1 else (math.nan, math.nan)
    return {
        "expected_regret": math.expm1(min(means.mean(), 700.0)),
        "regret_low": math.nan if math.isnan(low) else math.expm1(max(low, 0.0)),
        "regret_high": math.expm1(min(high, 700.0)),
    }
