"""Which optimizer to take for a stated budget, at which learning rate to start, and what that may cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import significant
from optbench.metrics.losses import require
from optbench.results.stored import CELL, GROUP
from optbench.statistics.intervals import t_interval

COLUMNS = [
    "trials", "seconds", "memory_bytes", "scope", "optimizer", "recommended", "expected_regret", "regret_low",
    "regret_high", "not_told_apart", "lr_start", "lr_low", "lr_high", "problems", "tasks", "feasible_tasks", "sentence",
    "note",
]  # fmt: skip
#: No budget goes beyond so many trials.
MOST_TRIALS = 1_000_000_000
#: Cells whose tuning has come to no end: how far it got says nothing of the budget that it was given.
_UNFINISHED = ("missing", "error", "oom", "timeout")
#: The scope of a row that is about all tasks together.
ALL = "all tasks"


@dataclass(frozen=True)
class Budget:
    """What tuning an optimizer may take; None is no limit. `seconds` are those of all trials together, at the speed
    measured in isolation, `memory_bytes` what one step allocates at most and the optimizer's state.
    """

    trials: int | None = None
    seconds: float | None = None
    memory_bytes: float | None = None


def budgets_of(trials: pd.DataFrame, cells: pd.DataFrame) -> list[Budget]:
    """The budgets that results speak of by themselves: no tuning, half of the trials that every finished cell has,
    and all of them.
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
    """One row for each budget, scope and optimizer, the least regret first; the recommended ones have a `sentence`.

    Within a budget an optimizer's rate is that of its lowest validation loss L among the first trials that fit.
    Its regret on a task is log(L/L*), L* being the lowest loss that any optimizer found there with all its
    trials. `expected_regret` is exp of the mean over problems, each the mean over its tasks, minus one: 0.05
    is a loss 5 % higher. The interval is Student's over problems, and missing for one problem.
    `not_told_apart` are those whose difference to the recommended one has an interval that holds zero; it is missing
    where there is no interval. `lr_start` is the geometric mean of the rates chosen, with their range.

    An optimizer is feasible on a task where it has a finite loss, a known time and a known memory within the budget,
    and was tuned for as long as the budget lasts: what more tuning would find isn't known. `note` says why it isn't.
    Whoever isn't feasible on all tasks isn't recommended; where that holds for all, the first row's sentence says
    so. Losses are
    those of trials, each one training: they say which rate to start at, not how a fresh seed will end.
    """
    require(trials, "trials", ["cell_id", "trial", "lr", "status", "valid_loss", "cost"])
    cells = cells.drop_duplicates("cell_id")
    budgets = budgets_of(trials, cells) if budgets is None else budgets
    studies = _studies(trials, runs, cells)
    best = studies.groupby(GROUP, observed=True)["loss"].transform("min")
    # Ratios need positive losses; elsewhere regret has no meaning, and is missing.
    studies["regret"] = np.log(studies["loss"].where(studies["loss"] > 0) / best.where((best > 0) & np.isfinite(best)))
    rows: list[dict[str, Any]] = []
    for budget in budgets:
        found = _within(studies, cells, budget)
        scopes = [(ALL, found), *((_scope(key), part) for key, part in found.groupby(GROUP, observed=True, sort=True))]
        for scope, part in scopes if len(found) else []:
            ranked = _ranked(part)
            about = {"scope": scope, **_limits(budget)}
            rows += [row | about | {"sentence": _sentence(row, ranked, scope, budget)} for row in ranked]
    table = pd.DataFrame(rows, columns=COLUMNS)
    flags = {"recommended": "bool", "not_told_apart": "boolean"}
    return table.astype({"trials": "Int64", "seconds": "float64", "memory_bytes": "float64", **flags})


def _limits(budget: Budget) -> dict[str, Any]:
    return {"trials": budget.trials, "seconds": budget.seconds, "memory_bytes": budget.memory_bytes}


def _scope(key: Any) -> str:
    problem, batch_size, device, schedule = key
    return f"{problem}, batch {batch_size}, {device}, {schedule}"


def _studies(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The trials with their loss (infinite if failed), and the seconds that the tuning had taken when each ended."""
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


def _within(studies: pd.DataFrame, cells: pd.DataFrame, budget: Budget) -> pd.DataFrame:
    """For each cell the best of the trials that fit, `CELL`, `lr` and `regret`; where there is none, the `reason`."""
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
    short = about.index[~_lasts(about, budget)]
    fits &= ~studies["cell_id"].isin(short)
    able = studies[fits & np.isfinite(studies["regret"])].sort_values(["regret", "number"], kind="stable")
    chosen = able.drop_duplicates("cell_id").set_index("cell_id")[["lr", "regret"]]
    reason = pd.Series("no finite loss within that", index=about.index)
    finite = np.isfinite(studies["loss"]).groupby(studies["cell_id"], observed=True).any()
    reason[finite & by_cell["regret"].max().isna()] = "losses that aren't positive"
    reason[short] = "tuned for less than that"
    if budget.memory_bytes is not None:
        reason[about["memory"] > budget.memory_bytes] = "takes more memory"
        reason[about["memory"].isna()] = "memory not known"
    if budget.seconds is not None:
        reason[about["seconds"].isna()] = "times not known"
    run = cells[cells["cell_id"].isin(about.index)]
    found = run[["cell_id", *CELL]].join(chosen, on="cell_id")
    return found.assign(reason=found["cell_id"].map(reason).astype(object).where(found["regret"].isna(), ""))


def _lasts(about: pd.DataFrame, budget: Budget) -> pd.Series:
    """Whether each cell was tuned until a limit of the budget was reached, so that no further trial would fit."""
    if budget.trials is None and budget.seconds is None:
        return pd.Series(True, index=about.index)
    spent = pd.Series(False, index=about.index)
    if budget.trials is not None:
        spent |= about["number"] >= budget.trials
    if budget.seconds is not None:
        spent |= about["seconds"] + about["longest"] > budget.seconds
    return spent


def _ranked(found: pd.DataFrame) -> list[dict[str, Any]]:
    """The optimizers of one scope as rows, the least expected regret first."""
    problems, problem = np.unique(found["problem"].to_numpy(dtype=object).astype(str), return_inverse=True)
    optimizer = found["optimizer"].to_numpy(dtype=object).astype(str)
    regret, lr = found["regret"].to_numpy(dtype=float), found["lr"].to_numpy(dtype=float)
    rows, means = [], {}
    reason = found["reason"].to_numpy(dtype=object)
    names, sizes = np.unique(optimizer, return_counts=True)
    tasks = len(found[GROUP].drop_duplicates())
    for name, size in zip(names.tolist(), sizes.tolist(), strict=True):
        own = optimizer == name
        row = _row(regret[own], lr[own]) | {"optimizer": name, "problems": len(np.unique(problem[own]))}
        row["note"] = _note(reason[own], tasks)
        # Only who has run everything in scope, and could train it, can be recommended for it.
        if row["feasible_tasks"] == size == tasks:
            counts = np.bincount(problem[own], minlength=len(problems))
            means[name] = np.bincount(problem[own], regret[own], minlength=len(problems)) / counts
            row |= _expected(means[name])
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


def _note(reasons: np.ndarray, tasks: int) -> str:
    """Why an optimizer isn't feasible on all tasks."""
    texts, counts = np.unique([text for text in reasons if text], return_counts=True)
    found = [*zip(texts.tolist(), counts.tolist(), strict=True), ("not run", tasks - len(reasons))]
    return "; ".join(f"{text} on {_count(count, 'task')}" for text, count in found if count)


def _row(regret: np.ndarray, lr: np.ndarray) -> dict[str, Any]:
    """What can be said of an optimizer's tasks by themselves; regrets that aren't finite are not feasible."""
    rates = lr[np.isfinite(lr) & (lr > 0)]
    found = [np.exp(np.log(rates).mean()), rates.min(), rates.max()] if len(rates) else [math.nan] * 3
    return {
        "tasks": len(regret),
        "feasible_tasks": int(np.isfinite(regret).sum()),
        **dict(zip(("lr_start", "lr_low", "lr_high"), map(float, found), strict=True)),
        **dict.fromkeys(("expected_regret", "regret_low", "regret_high"), math.nan),
    }


def _expected(means: np.ndarray) -> dict[str, float]:
    """The expected regret over problems with its interval, from the mean logarithm of each problem."""
    low, high = t_interval(means) if len(means) > 1 else (math.nan, math.nan)
    return {
        "expected_regret": math.expm1(means.mean()),
        "regret_low": math.nan if math.isnan(low) else math.expm1(max(low, 0.0)),
        "regret_high": math.expm1(min(high, 700.0)),
    }


def _sentence(row: dict[str, Any], ranked: list[dict[str, Any]], scope: str, budget: Budget) -> str:
    """What a row recommends: everything that it says stands in the row, and those not told apart from it in theirs."""
    if not ranked[0]["recommended"]:
        return _no_sentence(ranked, scope, budget) if row is ranked[0] else ""
    if not row["recommended"]:
        return ""
    rate, low, high = (significant(float(row[name]), 3, True) for name in ("lr_start", "lr_low", "lr_high"))
    several = f" ({low} to {high} were chosen)" if low != high else ""
    text = f"With {_spoken(budget)}: {row['optimizer']}, starting at learning rate {rate}{several}. "
    if row["problems"] == 1 and row["expected_regret"] == 0:
        # Whoever has found the best has no regret, by definition: that would be no estimate.
        text += f"It found the best validation loss on {_where(row, scope)} (no interval: one problem)."
    else:
        # A regret below none there can't be: where the interval would reach there, it has one end.
        low = f"{_percent(row['regret_low'])} to" if row["regret_low"] > 0 else "up to"
        interval = f"95 % interval {low} {_percent(row['regret_high'])}"
        interval = interval if math.isfinite(row["regret_high"]) else "no interval: one problem"
        text += (
            f"Expected regret: a validation loss {_percent(row['expected_regret'])} ({interval}) above the best found, "
            f"measured on {_where(row, scope)}."
        )
    unknown = [str(other["optimizer"]) for other in ranked if math.isnan(other["expected_regret"])]
    text += f" Not judged: {', '.join(unknown)}." if unknown else ""
    others = [str(other["optimizer"]) for other in ranked if other["not_told_apart"] is True]
    return text + (f" Not told apart from it: {', '.join(others)}." if others else "")


def _no_sentence(ranked: list[dict[str, Any]], scope: str, budget: Budget) -> str:
    """What the first row says where nobody can be recommended."""
    best = max(ranked, key=lambda row: row["feasible_tasks"])
    return (
        f"With {_spoken(budget)}: nothing to recommend for {scope}. No optimizer can be judged on all of its tasks; "
        f"{best['optimizer']} can on {best['feasible_tasks']} of {best['tasks']} ({best['note']})."
    )


def _where(row: dict[Any, Any], scope: str) -> str:
    if scope != ALL:
        return scope
    return f"{_count(int(row['problems']), 'problem')}, {_count(int(row['tasks']), 'task')}"


def _percent(share: float) -> str:
    return f"{significant(100 * share, 3, True)} %"


def _spoken(budget: Budget) -> str:
    parts = []
    if budget.trials is not None:
        parts.append("no tuning" if budget.trials == 1 else f"{budget.trials} tuning trials")
    if budget.seconds is not None:
        parts.append(f"{significant(float(budget.seconds), 3, True)} s of tuning")
    if budget.memory_bytes is not None:
        parts.append(f"{significant(budget.memory_bytes / 2**20, 3, True)} MiB of memory")
    return " and ".join(parts) or "no limit"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
