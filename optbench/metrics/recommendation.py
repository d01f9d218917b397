"""Which optimizer to take for a stated budget, at which learning rate to start, and what that may cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import CELL, GROUP
from optbench.metrics.losses import require
from optbench.statistics.intervals import t_interval
from optbench.tabular import significant

COLUMNS = [
    "trials", "seconds", "memory_bytes", "scope", "optimizer", "recommended", "expected_regret", "regret_low",
    "regret_high", "not_told_apart", "lr_start", "lr_low", "lr_high", "problems", "tasks", "feasible_tasks", "sentence",
]  # fmt: skip
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


def budgets_of(trials: pd.DataFrame) -> list[Budget]:
    """The budgets that results speak of by themselves: no tuning, half of the trials, and all."""
    if trials.empty:
        return []
    most = int(trials.groupby("cell_id").size().min())
    return [Budget(trials=number) for number in sorted({1, max(most // 2, 1), most})]


def recommendation(
    trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame, budgets: Sequence[Budget] | None = None
) -> pd.DataFrame:
    """One row for each budget, scope and optimizer, the least regret first; the recommended ones have a `sentence`.

    Within a budget an optimizer's rate is that of its lowest validation loss L among the first trials that fit.
    Its regret on a task is log(L/L*), L* being the lowest loss that any optimizer found there with all its
    trials. `expected_regret` is exp of the mean over problems, each the mean over its tasks, minus one: 0.05
    is a loss 5 % higher. The interval is Student's over problems, and missing for one problem.
    `not_told_apart` are those whose difference to the recommended one has an interval that holds zero. `lr_start`
    is the geometric mean of the rates chosen, with their range.

    An optimizer without a finite loss, a known time or a known memory within the budget on some task is feasible on
    the others only, and not recommended; where that holds for all, the first row's sentence says so. Losses are
    those of trials, each one training: they say which rate to start at, not how a fresh seed will end.
    """
    require(trials, "trials", ["cell_id", "trial", "lr", "status", "valid_loss", "cost"])
    budgets = budgets_of(trials) if budgets is None else budgets
    studies = _studies(trials, runs, cells)
    best = studies.groupby(GROUP, observed=True)["loss"].transform("min")
    # Ratios need positive losses; elsewhere regret has no meaning, and is missing.
    studies["regret"] = np.log(studies["loss"].where(studies["loss"] > 0) / best.where((best > 0) & np.isfinite(best)))
    parts = []
    for budget in budgets:
        found = _within(studies, cells, budget)
        scopes = [(ALL, found), *((_scope(key), part) for key, part in found.groupby(GROUP, observed=True, sort=True))]
        for scope, part in scopes:
            frame = _rows(part)
            frame["sentence"] = [_sentence(row, frame, scope, budget) for row in frame.to_dict("records")]
            if not frame["recommended"].any():
                frame.loc[frame.index[:1], "sentence"] = _no_sentence(frame, scope, budget)
            parts.append(frame.assign(scope=scope, **_limits(budget)))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    table = table.reindex(columns=COLUMNS)
    return table.astype({"trials": "Int64", "seconds": "float64", "memory_bytes": "float64"})


def _limits(budget: Budget) -> dict[str, Any]:
    return {"trials": budget.trials, "seconds": budget.seconds, "memory_bytes": budget.memory_bytes}


def _scope(key: Any) -> str:
    problem, batch_size, device, schedule = key
    return f"{problem}, batch {batch_size}, {device}, {schedule}"


def _studies(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The trials with their loss (infinite if failed), and the seconds that the tuning had taken when each ended."""
    frame = trials.sort_values(["cell_id", "trial"], kind="stable")
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
    """For each cell the best of the trials that fit: `CELL`, `lr`, `regret`; missing where none does."""
    fits = pd.Series(True, index=studies.index)
    if budget.trials is not None:
        fits &= studies["number"] <= budget.trials
    if budget.seconds is not None:
        fits &= studies["seconds"] <= budget.seconds
    if budget.memory_bytes is not None:
        fits &= studies["memory"] <= budget.memory_bytes
    able = studies[fits & np.isfinite(studies["regret"])].sort_values(["regret", "number"], kind="stable")
    chosen = able.drop_duplicates("cell_id").set_index("cell_id")[["lr", "regret"]]
    run = cells[cells["cell_id"].isin(studies["cell_id"])]
    return run[["cell_id", *CELL]].join(chosen, on="cell_id")


def _rows(found: pd.DataFrame) -> pd.DataFrame:
    """The optimizers of one scope, the least expected regret first."""
    by_problem = found.pivot_table("regret", "problem", "optimizer", observed=True)
    rows: list[dict[str, Any]] = []
    for name, part in found.groupby("optimizer", observed=True, sort=True):
        regret, rates = part["regret"].to_numpy(dtype=float), part["lr"].dropna().to_numpy(dtype=float)
        feasible = int(np.isfinite(regret).sum())
        row: dict[str, Any] = {"optimizer": name, "tasks": len(part), "feasible_tasks": feasible,
                               "problems": part["problem"].nunique()}  # fmt: skip
        if feasible:
            rates = rates[rates > 0]
            logarithms = np.log(rates)
            row |= (
                {"lr_start": math.exp(logarithms.mean()), "lr_low": rates.min(), "lr_high": rates.max()}
                if len(rates)
                else {}
            )
        if feasible == len(part):
            values = by_problem[name].dropna().to_numpy(dtype=float)
            low, high = t_interval(values) if len(values) > 1 else (math.nan, math.nan)
            row |= {"mean": values.mean(), "regret_low": math.expm1(max(low, 0.0)) if math.isfinite(low) else math.nan,
                    "regret_high": math.expm1(high), "expected_regret": math.expm1(values.mean())}  # fmt: skip
        rows.append(row)
    columns = [name for name in COLUMNS if name not in ("trials", "seconds", "memory_bytes", "scope", "sentence")]
    frame = pd.DataFrame(rows).reindex(columns=columns)
    most = frame["tasks"].max()
    # Only who has run everything in scope can be recommended for it.
    whole = frame["expected_regret"].notna() & (frame["tasks"] == most)
    frame = frame.assign(whole=whole).sort_values(
        ["whole", "expected_regret", "optimizer"], ascending=[False, True, True], na_position="last", ignore_index=True
    )
    frame["recommended"] = frame["whole"] & (frame.index == 0)
    frame["not_told_apart"] = False
    if len(by_problem) > 1 and frame["recommended"].iloc[0]:
        first = by_problem[frame["optimizer"].iloc[0]]
        for index in range(1, len(frame)):
            if frame["whole"].iloc[index]:
                low, high = t_interval((by_problem[frame["optimizer"].iloc[index]] - first).to_numpy(dtype=float))
                frame.loc[index, "not_told_apart"] = math.isfinite(low) and low <= 0 <= high
    return frame.drop(columns="whole")


def _sentence(row: dict[Any, Any], frame: pd.DataFrame, scope: str, budget: Budget) -> str:
    """What a row recommends: everything that it says stands in the row, and those not told apart from it in theirs."""
    if not row["recommended"]:
        return ""
    rate, low, high = (significant(float(row[name]), 3, True) for name in ("lr_start", "lr_low", "lr_high"))
    several = f" ({low} to {high} were chosen)" if low != high else ""
    regret = _percent(row["expected_regret"])
    if math.isfinite(row["regret_high"]):
        regret += f" (95 % interval {_percent(row['regret_low'])} to {_percent(row['regret_high'])})"
    else:
        regret += " (no interval: one problem)"
    text = (
        f"With {_spoken(budget)}: {row['optimizer']}, starting at learning rate {rate}{several}. Expected regret "
        f"{regret} of the best validation loss found, measured on {_where(row, scope)}."
    )
    others = [str(name) for name in frame.loc[frame["not_told_apart"], "optimizer"]]
    return text + (f" Not told apart from it: {', '.join(others)}." if others else "")


def _no_sentence(frame: pd.DataFrame, scope: str, budget: Budget) -> str:
    """What the first row says where nobody can be recommended."""
    best = frame.sort_values("feasible_tasks", ascending=False, kind="stable").iloc[0]
    return (
        f"With {_spoken(budget)}: nothing to recommend for {scope}. No optimizer has a finite loss within that on all "
        f"of its tasks; {best['optimizer']} has on {best['feasible_tasks']} of {best['tasks']}."
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
