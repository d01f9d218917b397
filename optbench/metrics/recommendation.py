"""Recommends an optimizer and a starting learning rate for a given budget, with the expected regret."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import format_number
from optbench.metrics.losses import require_columns
from optbench.results.stored import CELL, GROUP
from optbench.statistics.intervals import t_interval

COLUMNS = [
    "trials", "seconds", "memory_bytes", "scope", "optimizer", "recommended", "expected_regret", "regret_low",
    "regret_high", "not_told_apart", "lr_start", "lr_low", "lr_high", "problems", "tasks", "feasible_tasks", "sentence",
    "note",
]  # fmt: skip
#: The largest number of trials in a budget.
MOST_TRIALS = 1_000_000_000
#: Statuses of cells whose tuning did not end: its length does not show the budget.
_UNFINISHED = ("missing", "error", "oom", "timeout")
#: The scope of rows on all tasks together.
ALL = "all tasks"


@dataclass(frozen=True)
class Budget:
    """Limits of tuning an optimizer; None means no limit.

    `trials` limits the number of trials, `seconds` the time of all trials together (at the speed measured in
    isolation), and `memory_bytes` the peak allocation of a step plus the optimizer's state.
    """

    trials: int | None = None
    seconds: float | None = None
    memory_bytes: float | None = None


def choose_budgets(trials: pd.DataFrame, cells: pd.DataFrame) -> list[Budget]:
    """Returns the default budgets: no tuning, half of the trials that every finished cell has, and all of them.

    Args:
        trials: Frame of trials.
        cells: Frame of cells.
    """
    counts = trials.drop_duplicates(["cell_id", "trial"]).groupby("cell_id", observed=True).size()
    if counts.empty:
        return []
    finished = counts[counts.index.isin(cells.loc[~cells["status"].isin(_UNFINISHED), "cell_id"])]
    most = int((counts if finished.empty else finished).min())
    return [Budget(trials=number) for number in sorted({1, max(most // 2, 1), most})]


def recommendation(
    trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame, budgets: Sequence[Budget] | None = None
) -> pd.DataFrame:
    """Returns one row per budget, scope and optimizer, the smallest regret first; recommended ones have a `sentence`.

    Within a budget, an optimizer's rate is that of its lowest validation loss L among the first trials that fit. Its
    regret on a task is log(L/L*), where L* is the lowest loss that any optimizer reached there with all its trials.
    `expected_regret` is exp(mean over problems of the mean over tasks) − 1: 0.05 means a loss 5 % higher. Its interval
    is Student's over problems, and missing for a single problem. `not_told_apart` is true if the interval of the
    difference from the recommended optimizer contains zero, and missing without an interval. `lr_start` is the
    geometric mean of the chosen rates, given with their range.

    An optimizer is feasible on a task if it has a finite loss, known times and known memory within the budget, and was
    tuned for at least the budget: what more tuning would reach is unknown. `note` gives the reasons why it is not. An
    optimizer that is not feasible on all tasks is not recommended; if none is, the sentence of the first row says so.
    The losses are those of single trials: they show at which rate to start, not how a fresh seed will end.

    Args:
        trials: Frame of trials.
        runs: Frame of runs, for step times and memory.
        cells: Frame of cells.
        budgets: The budgets; those of `choose_budgets` by default.

    Raises:
        UserError: A frame lacks a column.
    """
    require_columns(trials, "trials", ["cell_id", "trial", "lr", "status", "valid_loss", "cost"])
    cells = cells.drop_duplicates("cell_id")
    budgets = choose_budgets(trials, cells) if budgets is None else budgets
    studies = _studies(trials, runs, cells)
    best = studies.groupby(GROUP, observed=True)["loss"].transform("min")
    # Ratios need positive losses; otherwise regret is undefined and missing.
    studies["regret"] = np.log(studies["loss"].where(studies["loss"] > 0) / best.where((best > 0) & np.isfinite(best)))
    rows: list[dict[str, Any]] = []
    for budget in budgets:
        choices = _apply_budget(studies, cells, budget)
        by_task = choices.groupby(GROUP, observed=True, sort=True)
        scopes = [(ALL, choices), *((_format_scope(key), part) for key, part in by_task)]
        for scope, part in scopes if len(choices) else []:
            ranked = _rank_optimizers(part)
            about = {"scope": scope, **_limit_columns(budget)}
            rows += [row | about | {"sentence": _write_sentence(row, ranked, scope, budget)} for row in ranked]
    table = pd.DataFrame(rows, columns=COLUMNS)
    flags = {"recommended": "bool", "not_told_apart": "boolean"}
    return table.astype({"trials": "Int64", "seconds": "float64", "memory_bytes": "float64", **flags})


def _limit_columns(budget: Budget) -> dict[str, Any]:
    return {"trials": budget.trials, "seconds": budget.seconds, "memory_bytes": budget.memory_bytes}


def _format_scope(key: Any) -> str:
    problem, batch_size, device, schedule = key
    return f"{problem}, batch {batch_size}, {device}, {schedule}"


def _studies(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns the trials with their losses (infinite if failed), and the seconds of tuning at the end of each."""
    frame = trials.drop_duplicates(["cell_id", "trial"]).sort_values(["cell_id", "trial"], kind="stable")
    loss = pd.to_numeric(frame["valid_loss"]).astype(float)
    speed = pd.to_numeric(runs["step_ms"]) * pd.to_numeric(runs["steps"]) / pd.to_numeric(runs["cost"]) / 1000
    per_cost = speed.astype(float).groupby(runs["cell_id"], observed=True).median()
    spent = frame.groupby("cell_id", observed=True)["cost"].cumsum().astype(float)
    return frame[[*CELL, "cell_id", "lr"]].assign(
        loss=loss.where((frame["status"] == "ok") & np.isfinite(loss), np.inf),
        number=frame.groupby("cell_id", observed=True).cumcount() + 1,
        seconds=spent * frame["cell_id"].map(per_cost).to_numpy(dtype=float),
        memory=frame["cell_id"].map(_memory(runs)).to_numpy(dtype=float),
    )


def _memory(runs: pd.DataFrame) -> pd.Series:
    needed = pd.to_numeric(runs["peak_memory_bytes"]) + pd.to_numeric(runs["optimizer_state_bytes"])
    return needed.astype(float).groupby(runs["cell_id"], observed=True).max()


def _apply_budget(studies: pd.DataFrame, cells: pd.DataFrame, budget: Budget) -> pd.DataFrame:
    """Returns each cell's best trial that fits: `CELL`, `lr`, `regret`, and a `reason` if there is none."""
    fits = pd.Series(True, index=studies.index)
    if budget.trials is not None:
        fits &= studies["number"] <= budget.trials
    if budget.seconds is not None:
        fits &= studies["seconds"] <= budget.seconds
    if budget.memory_bytes is not None:
        fits &= studies["memory"] <= budget.memory_bytes
    by_cell = studies.groupby("cell_id", observed=True)
    about = by_cell[["number", "seconds", "memory"]].max()
    about["longest"] = (by_cell["seconds"].diff().fillna(studies["seconds"])).groupby(studies["cell_id"]).max()
    short = about.index[~_exhausts_budget(about, budget)]
    fits &= ~studies["cell_id"].isin(short)
    able = studies[fits & np.isfinite(studies["regret"])].sort_values(["regret", "number"], kind="stable")
    chosen = able.drop_duplicates("cell_id").set_index("cell_id")[["lr", "regret"]]
    reason = pd.Series("no finite loss within the budget", index=about.index)
    finite = np.isfinite(studies["loss"]).groupby(studies["cell_id"], observed=True).any()
    reason[finite & by_cell["regret"].max().isna()] = "losses that are not positive"
    reason[short] = "tuned for less than the budget"
    if budget.memory_bytes is not None:
        reason[about["memory"] > budget.memory_bytes] = "needs more memory"
        reason[about["memory"].isna()] = "memory unknown"
    if budget.seconds is not None:
        reason[about["seconds"].isna()] = "times unknown"
    run = cells[cells["cell_id"].isin(about.index)]
    choices = run[["cell_id", *CELL]].join(chosen, on="cell_id")
    return choices.assign(reason=choices["cell_id"].map(reason).astype(object).where(choices["regret"].isna(), ""))


def _exhausts_budget(about: pd.DataFrame, budget: Budget) -> pd.Series:
    """Whether each cell was tuned until a limit of the budget was reached, so that no further trial would fit."""
    if budget.trials is None and budget.seconds is None:
        return pd.Series(True, index=about.index)
    spent = pd.Series(False, index=about.index)
    if budget.trials is not None:
        spent |= about["number"] >= budget.trials
    if budget.seconds is not None:
        spent |= about["seconds"] + about["longest"] > budget.seconds
    return spent


def _rank_optimizers(choices: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the optimizers of one scope as rows, the smallest expected regret first."""
    problems, problem = np.unique(choices["problem"].to_numpy(dtype=object).astype(str), return_inverse=True)
    optimizer = choices["optimizer"].to_numpy(dtype=object).astype(str)
    regret, lr = choices["regret"].to_numpy(dtype=float), choices["lr"].to_numpy(dtype=float)
    rows, means = [], {}
    reason = choices["reason"].to_numpy(dtype=object)
    names, sizes = np.unique(optimizer, return_counts=True)
    tasks = len(choices[GROUP].drop_duplicates())
    for name, size in zip(names.tolist(), sizes.tolist(), strict=True):
        own = optimizer == name
        row = _summarize(regret[own], lr[own]) | {"optimizer": name, "problems": len(np.unique(problem[own]))}
        row["note"] = _explain_infeasible(reason[own], tasks)
        # Only optimizers that are feasible on every task of the scope can be recommended.
        if row["feasible_tasks"] == size == tasks:
            counts = np.bincount(problem[own], minlength=len(problems))
            means[name] = np.bincount(problem[own], regret[own], minlength=len(problems)) / counts
            row |= _estimate_regret(means[name])
        rows.append(row)
    rows.sort(key=lambda row: (math.isnan(row["expected_regret"]), row["expected_regret"], row["optimizer"]))
    best = rows[0]["optimizer"] if rows[0]["optimizer"] in means else None
    for row in rows:
        row["recommended"] = row["optimizer"] == best
        row["not_told_apart"] = False if row["recommended"] else pd.NA
        if best in means and row["optimizer"] in means and not row["recommended"]:
            low, high = t_interval(means[row["optimizer"]] - means[best])
            row["not_told_apart"] = pd.NA if math.isnan(low) else bool(low <= 0 <= high)
    return rows


def _explain_infeasible(reasons: np.ndarray, tasks: int) -> str:
    """Returns why an optimizer is not feasible on all tasks, with the number of tasks for each reason."""
    texts, counts = np.unique([text for text in reasons if text], return_counts=True)
    pairs = [*zip(texts.tolist(), counts.tolist(), strict=True), ("not run", tasks - len(reasons))]
    return "; ".join(f"{text} on {_format_count(count, 'task')}" for text, count in pairs if count)


def _summarize(regret: np.ndarray, lr: np.ndarray) -> dict[str, Any]:
    """Returns the columns that depend on one optimizer's tasks only; infeasible tasks have no finite regret."""
    rates = lr[np.isfinite(lr) & (lr > 0)]
    values = [np.exp(np.log(rates).mean()), rates.min(), rates.max()] if len(rates) else [math.nan] * 3
    return {
        "tasks": len(regret),
        "feasible_tasks": int(np.isfinite(regret).sum()),
        **dict(zip(("lr_start", "lr_low", "lr_high"), map(float, values), strict=True)),
        **dict.fromkeys(("expected_regret", "regret_low", "regret_high"), math.nan),
    }


def _estimate_regret(means: np.ndarray) -> dict[str, float]:
    """Returns the expected regret over problems with its interval, from the mean log regret of each problem."""
    low, high = t_interval(means) if len(means) > 1 else (math.nan, math.nan)
    return {
        "expected_regret": math.expm1(means.mean()),
        "regret_low": math.nan if math.isnan(low) else math.expm1(max(low, 0.0)),
        "regret_high": math.expm1(min(high, 700.0)),
    }


def _write_sentence(row: dict[str, Any], ranked: list[dict[str, Any]], scope: str, budget: Budget) -> str:
    """Returns the sentence of a row. All its numbers are in the row; the names it lists are in the other rows."""
    if not ranked[0]["recommended"]:
        return _write_refusal(ranked, scope, budget) if row is ranked[0] else ""
    if not row["recommended"]:
        return ""
    rate, low, high = (format_number(float(row[name]), 3, True) for name in ("lr_start", "lr_low", "lr_high"))
    several = f" (tuning chose rates from {low} to {high})" if low != high else ""
    text = f"With {_describe_budget(budget)}: use {row['optimizer']}, starting at learning rate {rate}{several}. "
    if row["problems"] == 1 and row["expected_regret"] == 0:
        # The optimizer with the best loss has zero regret by definition, which is not an estimate.
        text += f"It reached the best validation loss on {_describe_tasks(row, scope)}."
    else:
        # Regrets are not negative: an interval that would start below zero only has an upper end.
        low = f"{_format_percent(row['regret_low'])} to" if row["regret_low"] > 0 else "up to"
        interval = f" (95 % interval {low} {_format_percent(row['regret_high'])})"
        interval = interval if math.isfinite(row["regret_high"]) else ""  # one problem
        text += (
            f"Its validation loss is expected to be {_format_percent(row['expected_regret'])} above the best loss "
            f"found{interval}, measured on {_describe_tasks(row, scope)}."
        )
    unknown = [str(other["optimizer"]) for other in ranked if math.isnan(other["expected_regret"])]
    text += f" Cannot be judged: {', '.join(unknown)}." if unknown else ""
    others = [str(other["optimizer"]) for other in ranked if other["not_told_apart"] is True]
    return text + (f" Not significantly worse: {', '.join(others)}." if others else "")


def _write_refusal(ranked: list[dict[str, Any]], scope: str, budget: Budget) -> str:
    """Returns the sentence of the first row if no optimizer can be recommended."""
    best = max(ranked, key=lambda row: row["feasible_tasks"])
    return (
        f"With {_describe_budget(budget)}: nothing to recommend for {scope}. No optimizer can be judged on all "
        f"tasks; {best['optimizer']} can be judged on {best['feasible_tasks']} of {best['tasks']} ({best['note']})."
    )


def _describe_tasks(row: dict[Any, Any], scope: str) -> str:
    if scope != ALL:
        return scope
    return f"{_format_count(int(row['problems']), 'problem')}, {_format_count(int(row['tasks']), 'task')}"


def _format_percent(share: float) -> str:
    return f"{format_number(100 * share, 3, True)} %"


def _describe_budget(budget: Budget) -> str:
    parts = []
    if budget.trials is not None:
        parts.append("no tuning" if budget.trials == 1 else f"{budget.trials} tuning trials")
    if budget.seconds is not None:
        parts.append(f"{format_number(float(budget.seconds), 3, True)} s of tuning")
    if budget.memory_bytes is not None:
        parts.append(f"{format_number(budget.memory_bytes / 2**20, 3, True)} MiB of memory")
    return " and ".join(parts) or "no limit"


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
