"""The sentences of recommendations.

All their numbers are in the row, except the largest number of seeds; the names that they list are in other rows.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from optbench.formatting import format_cell, format_number, in_words
from optbench.metrics.known_length import NOTE
from optbench.metrics.tuning_budget import Budget

#: The scope of rows on all tasks together.
ALL = "all tasks"
#: What a row rests on.
FRESH, TRIALS = "fresh seeds", "single trials"


def write_sentence(
    row: dict[str, Any],
    ranked: list[dict[str, Any]],
    scope: str,
    budget: Budget,
    worth: float = math.nan,
    tuned: bool = True,
) -> str:
    """Returns the sentence of a row; empty unless it is recommended, or the first one and none is.

    Args:
        row: The row, one of `ranked`.
        ranked: The rows of the same budget and scope, the best first.
        scope: The scope.
        budget: The budget.
        worth: The compute of its trials in run budgets (see `tuning_budget.convert_to_runs`).
        tuned: Whether anything was tuned.
    """
    where = "" if scope == ALL else f" on {scope}"
    head = f"With {_describe_budget(budget, worth)}{where}" if tuned else f"Nothing was tuned{where}"
    if not ranked[0]["recommended"]:
        return _write_refusal(ranked, scope, head) if row is ranked[0] else ""
    if not row["recommended"]:
        return ""
    knows = f" {row['knows']}: {NOTE}." if row["knows"] else ""
    knows += _name_untuned(ranked)
    if row["rests_on"] == TRIALS:
        return f"{head}: {_write_by_trials(row, ranked, scope)}{knows}"
    if row["metric"]:
        return f"{head}: {_write_by_cell(row, ranked)}{knows}"
    return f"{head}: {_write_by_order(row, ranked)}{knows}"


def _write_by_cell(row: dict[str, Any], ranked: list[dict[str, Any]]) -> str:
    """On one problem, from fresh seeds: the best cell, how it ended, and which others it beats there."""
    several = row["tasks"] > 1 or any(other["tasks"] > 1 for other in ranked)
    rate = f"learning rate {_format_rate(row['lr_start'])}" if pd.notna(row["lr_start"]) else ""
    text = f"{_advise(row, ranked)}, at {', '.join(filter(None, [row['where'], rate, row['others']]))}. "
    seeds = _format_count(int(row["n_seeds"]), "fresh seed")
    value, mean, low, high = (
        format_cell("test_metric", row[key]) for key in ("value", "mean", "mean_low", "mean_high")
    )
    if row["n_seeds"] == 1:
        text += f"Its {row['metric']} on {seeds} is {value}; one seed gives no interval."
    elif pd.isna(row["mean_low"]):
        text += f"Its {row['metric']} has the median {value} over {seeds}, without an interval of the mean."
    else:
        text += f"Its {row['metric']} has the median {value} over {seeds} (mean {mean}, 95 % interval {low} to {high})."
    text += _compare(ranked, "there")
    after = next((other for other in ranked[1:] if other["metric"]), None)
    if several and after is not None:
        text += f" Second is {after['optimizer']} at {after['where']}: {format_cell('test_metric', after['value'])}."
    return text


def _write_by_order(row: dict[str, Any], ranked: list[dict[str, Any]]) -> str:
    """On several problems, from fresh seeds: the first optimizer, and which others it beats."""
    low, high = (_format_rate(row[name]) for name in ("lr_low", "lr_high"))
    rate = f"learning rate {low}" if low == high else f"learning rates from {low} to {high}, depending on the task"
    problems, tasks = (_format_count(int(row[name]), name[:-1]) for name in ("problems", "tasks"))
    least, most = row["n_seeds"], row["most_seeds"]
    seeds = f"with {'' if least == most else f'{least} to '}{_format_count(most, 'fresh seed')} each"
    return f"{_advise(row, ranked)}, at {rate}. It is ranked first over {problems} and {tasks}, {seeds}." + _compare(
        ranked, "over all tasks"
    )


def _advise(row: dict[str, Any], ranked: list[dict[str, Any]]) -> str:
    if len(ranked) == 1 or any(other["not_told_apart"] is False for other in ranked[1:]):
        return f"use {row['optimizer']}"
    return f"no optimizer is shown to be better than the others; try {row['optimizer']} first"


def _compare(ranked: list[dict[str, Any]], where: str) -> str:
    """Which optimizers are significantly worse than the first one, which are not, and which are not known."""
    if len(ranked) == 1:
        return " No other optimizer was run."
    beaten, close = (
        [other["optimizer"] for other in ranked[1:] if other["not_told_apart"] is flag] for flag in (False, True)
    )
    unknown = [other["optimizer"] for other in ranked[1:] if other["not_told_apart"] is pd.NA]
    text = f" It beats significantly, {where} and on the same seeds: {', '.join(beaten)}." if beaten else ""
    text += f" Not significantly worse: {', '.join(close)}." if close else ""
    return text + (f" Cannot be judged: {', '.join(unknown)}." if unknown else "")


def _write_by_trials(row: dict[str, Any], ranked: list[dict[str, Any]], scope: str) -> str:
    rate, low, high = (_format_rate(row[name]) for name in ("lr_start", "lr_low", "lr_high"))
    several = f" (tuning chose rates from {low} to {high})" if low != high else ""
    text = f"use {row['optimizer']}, starting at learning rate {rate}{several}. "
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
    text += " This rests on single trials, because no final run has these values: a hint."
    unknown = [str(other["optimizer"]) for other in ranked if math.isnan(other["expected_regret"])]
    text += f" Cannot be judged: {', '.join(unknown)}." if unknown else ""
    others = [str(other["optimizer"]) for other in ranked if other["not_told_apart"] is True]
    return text + (f" Not significantly worse: {', '.join(others)}." if others else "")


def _name_untuned(ranked: list[dict[str, Any]]) -> str:
    """Which optimizers take part untuned, because the budget is smaller than that of their tuning."""
    names = [str(row["optimizer"]) for row in ranked if row["cut"]]
    if not names:
        return ""
    who = "All are untuned" if len(names) == len(ranked) else f"Untuned: {in_words(names)}"
    return f" {who}, because the tuning has more compute than this budget."


def _write_refusal(ranked: list[dict[str, Any]], scope: str, head: str) -> str:
    """Returns the sentence of the first row if no optimizer can be recommended."""
    best = max(ranked, key=lambda row: row["feasible_tasks"])
    return (
        f"{head}: nothing to recommend for {scope}. No optimizer can be judged on all "
        f"tasks; {best['optimizer']} can be judged on {best['feasible_tasks']} of {best['tasks']} ({best['note']})."
    )


def _describe_tasks(row: dict[Any, Any], scope: str) -> str:
    if scope != ALL:
        return scope
    return f"{_format_count(int(row['problems']), 'problem')}, {_format_count(int(row['tasks']), 'task')}"


def _format_rate(rate: float) -> str:
    return format_number(float(rate), 3, True)


def _format_percent(share: float) -> str:
    return f"{format_number(100 * share, 3, True)} %"


def _describe_budget(budget: Budget, worth: float) -> str:
    parts = []
    if budget.trials is not None:
        number = float(budget.trials) if math.isnan(worth) else worth
        runs = f"{format_number(number, 3, True)} run{'' if number == 1 else 's'}"
        parts.append(f"the compute of {runs} for tuning" if number else "no tuning")
    if budget.seconds is not None:
        parts.append(f"{format_number(float(budget.seconds), 3, True)} s of tuning")
    if budget.memory_bytes is not None:
        parts.append(f"{format_number(budget.memory_bytes / 2**20, 3, True)} MiB of memory")
    return " and ".join(parts) or "no limit"


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
