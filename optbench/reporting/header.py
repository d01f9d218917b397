"""The texts at the top of the page: completeness, warnings, facts and the recommendation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from optbench.formatting import format_cell, format_number
from optbench.metrics.leaderboard import FAILURES
from optbench.metrics.recommendation import ALL
from optbench.reporting.html_tables import in_words
from optbench.results.stored import GROUP
from optbench.statistics.planning import fewest_pairs


def completeness(cells: pd.DataFrame) -> str:
    """How much of the plan is done: `N of M cells complete, k failed`, and how many cells were not run."""
    done, failed = int((cells["status"] == "ok").sum()), int(cells["status"].isin(FAILURES).sum())
    missing = len(cells) - done - failed
    text = f"{done} of {len(cells)} cells complete, {failed} failed"
    return f"{text}, {missing} not run" if missing else text


def banners(cells: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Warnings about partial results, substitute data and too few seeds, one text each."""
    texts = []
    unfinished = int((~cells["status"].isin(["ok", *FAILURES])).sum())
    if unfinished:
        texts.append(f"Partial results: {unfinished} of {len(cells)} cells have no result yet. Ranks may still change.")
    substitutes = [name for name in cells["problem"].unique() if re.search(r"\bdata=digits(?=[,\]])", name)]
    if substitutes:
        texts.append(
            f"Substitute data: {in_words(substitutes)} train on scikit-learn's small digits. These results say little "
            "about the data set after which the problem is named."
        )
    seeds = runs["seed"].nunique()
    most = max(2, int(cells.groupby(GROUP, observed=True)["optimizer"].nunique().max())) if len(cells) else 2
    if seeds < (enough := fewest_pairs(comparisons=most - 1)):
        texts.append(
            f"{count_text(seeds, 'seed')}: too few to conclude that one optimizer beats another within one task. With "
            f"{most} optimizers, a verdict needs at least {enough} seeds. Read differences within a task as hints."
        )
    return texts


def facts(cells: pd.DataFrame, runs: pd.DataFrame, meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The facts of the page as (term, text) pairs: what was compared, when, on which hardware, with which budgets.

    `meta` is the page's `Meta` (see `page.render`). Facts without a text are left out.
    """
    budgets: dict[str, list[str]] = {}
    for problem, group in cells.groupby("problem", sort=False):
        run, tuning = (group[name].dropna().max() for name in ("run_budget", "tuning_budget"))
        if pd.notna(run):
            tuned = f", {format_cell('tuning_budget', float(tuning))} for tuning" if pd.notna(tuning) else ""
            budgets.setdefault(f"{format_cell('run_budget', float(run))} per run{tuned}", []).append(str(problem))
    several = len(budgets) > 1
    spent = [f"{in_words(problems)}: {text}" if several else text for text, problems in budgets.items()]
    machines, versions = [], []
    for entry in meta.get("environments", {}).values():
        devices = [str(name) for name in (entry.get("accelerators") or {}).values()]
        machines.append(", ".join([f"{entry.get('processor', 'unknown')} ({entry.get('cores', '?')} cores)", *devices]))
        packages = {"python": entry.get("python"), **(entry.get("packages") or {})}
        versions.append(", ".join(f"{name} {number}" for name, number in packages.items() if number))
    entries = [
        ("Problems", in_words(cells["problem"].unique())),
        ("Optimizers", in_words(cells["optimizer"].unique())),
        ("Batch sizes", in_words(sorted(cells["batch_size"].unique()))),
        ("Devices", in_words(sorted(cells["device"].unique()))),
        ("Schedules", in_words(sorted(cells["schedule"].unique()))),
        ("Seeds", str(runs["seed"].nunique())),
        ("Budgets", "; ".join(spent) + " (example gradients)" if spent else ""),
        ("Baselines", meta.get("baseline", "")),
        ("Hardware", "; ".join(dict.fromkeys(machines))),
        ("Versions", "; ".join(dict.fromkeys(versions))),
        ("Created", meta.get("created", "")),
    ]
    return [(term, text) for term, text in entries if text]


def answer(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The recommendation in two texts: which optimizer to use and how well it does, and where this was measured.

    `tables` needs `cells`, `recommendation` and `runs` of `metrics.tables.all_tables`. Without a recommendation there
    is only one text, which gives the reason.
    """
    cells, table = tables["cells"], tables["recommendation"]
    overall_rows = table[table["scope"] == ALL]
    overall = overall_rows[overall_rows["recommended"].eq(True)]
    if overall.empty:
        return ["Nothing can be recommended yet: no optimizer has a finite loss on every task."]
    row = overall.sort_values("trials", na_position="last").iloc[-1]
    regret = f"{format_number(100 * row['expected_regret'], 2)} % above the best loss that any optimizer reached"
    if pd.notna(row["regret_low"]):
        bounds = [format_number(100 * row[f"regret_{end}"], 2) for end in ("low", "high")]
        regret += f" (95 % interval: {bounds[0]} to {bounds[1]} %)"
    trials = (
        f"With {count_text(int(row['trials']), 'tuning trial')}"
        if pd.notna(row["trials"])
        else "With the whole tuning budget"
    )
    rivals = overall_rows[
        (overall_rows["trials"] == row["trials"]) | (overall_rows["trials"].isna() & pd.isna(row["trials"]))
    ]
    close = [
        str(name) for name in rivals.loc[rivals["not_told_apart"].eq(True), "optimizer"] if name != row["optimizer"]
    ]
    others = cells["optimizer"].nunique() - 1
    judged = int(rivals["not_told_apart"].notna().sum()) - 1  # with one problem none is: there is no interval
    if not others:
        comparison = "No other optimizer was run."
    elif not judged and row["problems"] == 1:
        comparison = "One problem gives no interval, so the difference from other optimizers may be due to chance."
    elif not judged:
        comparison = "No other optimizer could be judged on all tasks."
    elif not close and judged < others:
        compared = count_text(judged, "other optimizer")
        comparison = f"This loss is significantly lower than that of the {compared} that could be judged."
    elif not close:
        comparison = "This loss is significantly lower than that of all other optimizers."
    elif len(close) == others:
        comparison = "This loss is not significantly lower than that of any other optimizer."
    else:
        comparison = f"This loss is not significantly lower than that of {in_words(close)}."
    seeds = tables["runs"]["seed"].nunique()
    rate, low, high = (format_number(row[name], 3, True) for name in ("lr_start", "lr_low", "lr_high"))
    advice = f"Use {row['optimizer']}, starting at learning rate {rate}"
    if others and (not judged or len(close) == judged):
        better = "No optimizer is significantly better than the others. " if judged else ""
        advice = f"{better}Try {row['optimizer']} first, starting at learning rate {rate}"
    if low != high:
        advice += f" (tuning chose rates from {low} to {high})"
    return [
        f"{advice}. {trials}, its validation loss is expected to be {regret}.",
        f"{comparison} This was measured on {count_text(int(row['problems']), 'problem')} "
        f"({count_text(int(row['tasks']), 'task')}) with {count_text(seeds, 'seed')} and may not hold for other "
        "problems, sizes or budgets.",
    ]


def other_budgets(table: pd.DataFrame) -> list[str]:
    """The recommendations for smaller tuning budgets than that of `answer`."""
    overall = table[(table["scope"] == ALL) & (table["sentence"] != "")].sort_values("trials", na_position="last")
    return [str(text) for text in overall["sentence"].iloc[:-1]]


def count_text(number: int, noun: str) -> str:
    """A number with its noun: `1 seed`, `2 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
