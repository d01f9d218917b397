"""The texts at the top of the page: completeness, warnings, facts and the recommendation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from optbench.formatting import format_cell, in_words
from optbench.metrics.compared import is_technical
from optbench.metrics.leaderboard import FAILURES
from optbench.metrics.recommendation import ALL
from optbench.results.stored import GROUP
from optbench.statistics.fewest import describe_few_seeds


def completeness(cells: pd.DataFrame) -> str:
    """How much of the plan is done: `N of M cells complete, k failed`, and how many cells were not run."""
    done, failed = int((cells["status"] == "ok").sum()), int(cells["status"].isin(FAILURES).sum())
    missing = len(cells) - done - failed
    text = f"{done} of {len(cells)} cells complete, {failed} failed"
    return f"{text}, {missing} not run" if missing else text


#: What `optbench tiers` has measured; docs/methodology.md, section 34, has the command, n and the machine.
TIER_EVIDENCE = (
    "The ranking of ten optimizers on mnist_cnn with digits agreed little with that on MNIST (Kendall's τ 0.21 "
    "[−0.13, 0.55], ten seeds). Of the eight verdicts that digits decided, MNIST confirmed three, has ties for five "
    "and reversed none."
)


def banners(cells: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Warnings about partial results, substitute data and too few seeds, one text each."""
    texts = []
    unfinished = int((~cells["status"].isin(["ok", *FAILURES])).sum())
    if unfinished:
        texts.append(f"Partial results: {unfinished} of {len(cells)} cells have no result yet. Ranks may still change.")
    if lost := int(is_technical(cells).sum()):
        texts.append(
            f"Technical failures: {count_text(lost, 'cell')} failed because the worker process ended or the time limit "
            "was reached. The missing runs are left out of ranks and verdicts; run with --retry-failed to make them."
        )
    substitutes = [name for name in cells["problem"].unique() if re.search(r"\bdata=digits(?=[,\]])", name)]
    if substitutes:
        measured = f" {TIER_EVIDENCE}" if any(name.startswith("mnist_cnn") for name in substitutes) else ""
        texts.append(
            f"Substitute data: {in_words(substitutes)} train on scikit-learn's small digits. These results say little "
            f"about the data set after which the problem is named.{measured}"
        )
    seeds = runs["seed"].nunique()
    most = int(cells.groupby(GROUP, observed=True)["optimizer"].nunique().max()) if len(cells) else 0
    if most == 1:
        texts.append("No task has two optimizers: there is nothing to compare, and no verdict.")
    elif most and (few := describe_few_seeds(seeds, most)):
        texts.append(f"{few} Read differences within a task as hints.")
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
    """The recommendation for the largest tuning budget, or why there is none; then what it may not hold for.

    `tables` needs the table `recommendation` of `metrics.tables.all_tables`, whose sentences `optbench recommend`
    prints as well.
    """
    rows = _overall(tables["recommendation"])
    if rows.empty:
        return ["Nothing can be recommended yet: no cell has been run."]
    row = rows.iloc[-1]
    if not row["recommended"]:
        return ["Nothing can be recommended yet.", str(row["sentence"])]
    return [str(row["sentence"]), "This may not hold for other problems, sizes or budgets."]


def problem_answers(table: pd.DataFrame) -> list[str]:
    """The recommendations for each problem with the tuning budget of `answer`, if there are several problems."""
    rows = _overall(table)
    if rows.empty or rows["problems"].iloc[-1] < 2:
        return []
    last = rows["trials"].iloc[-1]
    same = table[table["trials"].isna() if pd.isna(last) else table["trials"].eq(last)]
    own = same[(same["scope"] != ALL) & (same["problems"] == 1) & (same["sentence"] != "")]
    # A problem with several tasks is a scope itself, before its tasks, whose names begin with its name.
    scopes = [str(name) for name in own["scope"]]
    tasks = {name for name in scopes if any(name.startswith(f"{problem}, batch ") for problem in scopes)}
    return [str(text) for name, text in zip(scopes, own["sentence"], strict=True) if name not in tasks]


def other_budgets(table: pd.DataFrame) -> list[str]:
    """The recommendations for smaller tuning budgets than that of `answer`."""
    return [str(text) for text in _overall(table)["sentence"].iloc[:-1]]


def _overall(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[(table["scope"] == ALL) & (table["sentence"] != "")]
    return rows.sort_values("trials", na_position="last")


def count_text(number: int, noun: str) -> str:
    """A number with its noun: `1 seed`, `2 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
