"""What the page says of its results before any figure: completeness, warnings, facts, the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from optbench.formatting import cell_text, significant
from optbench.metrics.leaderboard import FAILURES
from optbench.metrics.recommendation import ALL
from optbench.reporting.html_tables import joined

#: Six pairs are the fewest from which an exact paired test can give p < 0.05 (2/2^6 = 0.03).
ENOUGH_SEEDS = 6


def completeness(cells: pd.DataFrame) -> str:
    """`N of M cells, k failed`."""
    done, failed = int((cells["status"] == "ok").sum()), int(cells["status"].isin(FAILURES).sum())
    missing = len(cells) - done - failed
    text = f"{done} of {len(cells)} cells complete, {failed} failed"
    return f"{text}, {missing} not run" if missing else text


def banners(cells: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """What a reader has to know before any conclusion."""
    texts = []
    unfinished = int((~cells["status"].isin(["ok", *FAILURES])).sum())
    if unfinished:
        texts.append(f"Partial: {unfinished} of {len(cells)} cells have no result yet. Ranks may still change.")
    substitutes = [name for name in cells["problem"].unique() if re.search(r"\bdata=digits\b", name)]
    if substitutes:
        texts.append(
            f"Substitute data: {joined(substitutes)} train on scikit-learn's small digits, which says "
            "little about the data that the problem is named after."
        )
    seeds = runs["seed"].nunique()
    if seeds < ENOUGH_SEEDS:
        texts.append(
            f"{count(seeds, 'seed')}: too few for a claim that one optimizer beats another. The fewest with which "
            f"an exact paired test can reach p < 0.05 is {ENOUGH_SEEDS}; read differences as hints."
        )
    return texts


def facts(cells: pd.DataFrame, runs: pd.DataFrame, meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was compared, when, on what, with which budgets, as terms and texts."""
    budgets: dict[str, list[str]] = {}
    for problem, group in cells.groupby("problem", sort=False):
        run, tuning = (group[name].dropna().max() for name in ("run_budget", "tuning_budget"))
        if pd.notna(run):
            tuned = f", {cell_text('tuning_budget', float(tuning))} for tuning" if pd.notna(tuning) else ""
            budgets.setdefault(f"{cell_text('run_budget', float(run))} a run{tuned}", []).append(str(problem))
    several = len(budgets) > 1
    spent = [f"{joined(problems)}: {text}" if several else text for text, problems in budgets.items()]
    machines, versions = [], []
    for entry in meta.get("environments", {}).values():
        devices = [str(name) for name in (entry.get("accelerators") or {}).values()]
        machines.append(", ".join([f"{entry.get('processor', 'unknown')} ({entry.get('cores', '?')} cores)", *devices]))
        packages = {"python": entry.get("python"), **(entry.get("packages") or {})}
        versions.append(", ".join(f"{name} {number}" for name, number in packages.items() if number))
    entries = [
        ("Problems", joined(cells["problem"].unique())),
        ("Optimizers", joined(cells["optimizer"].unique())),
        ("Batch sizes", joined(sorted(cells["batch_size"].unique()))),
        ("Devices", joined(sorted(cells["device"].unique()))),
        ("Schedules", joined(sorted(cells["schedule"].unique()))),
        ("Seeds", str(runs["seed"].nunique())),
        ("Budgets", "; ".join(spent) + " (example gradients)" if spent else ""),
        ("Baselines", meta.get("baseline", "")),
        ("Hardware", "; ".join(dict.fromkeys(machines))),
        ("Versions", "; ".join(dict.fromkeys(versions))),
        ("Made", meta.get("created", "")),
    ]
    return [(term, text) for term, text in entries if text]


def answer(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The recommendation in two sentences: whom to take and what that may cost, and where it holds."""
    cells, table = tables["cells"], tables["recommendation"]
    overall_rows = table[table["scope"] == ALL]
    overall = overall_rows[overall_rows["recommended"].eq(True)]
    if overall.empty:
        return ["Nothing can be recommended yet: no optimizer has a finite loss on every task."]
    row = overall.sort_values("trials", na_position="last").iloc[-1]
    regret = f"{significant(100 * row['expected_regret'], 2)} % above the best that any found"
    if pd.notna(row["regret_low"]):
        bounds = [significant(100 * row[f"regret_{end}"], 2) for end in ("low", "high")]
        regret += f" (95 % interval {bounds[0]} to {bounds[1]} %)"
    trials = (
        f"with {count(int(row['trials']), 'tuning trial')}" if pd.notna(row["trials"]) else "with all of the budget"
    )
    rivals = overall_rows[
        (overall_rows["trials"] == row["trials"]) | (overall_rows["trials"].isna() & pd.isna(row["trials"]))
    ]
    close = [
        str(name) for name in rivals.loc[rivals["not_told_apart"].eq(True), "optimizer"] if name != row["optimizer"]
    ]
    others = cells["optimizer"].nunique() - 1
    judged = int(rivals["not_told_apart"].notna().sum()) - 1  # of one problem nobody is: it gives no interval
    if others and not judged:
        apart = "of one problem there is no interval, so nothing tells it apart from others"
    elif not close and judged < others:
        apart = f"this expectation tells it apart from the {count(judged, 'other')} that could be judged"
    elif not close:
        apart = "this expectation tells it apart from all others"
    elif len(close) == others:
        apart = f"this expectation tells it apart from none of the {count(others, 'other')}"
    else:
        apart = f"this expectation does not tell it apart from {joined(close)}"
    seeds = tables["runs"]["seed"].nunique()
    return [
        f"Take {row['optimizer']}, starting at learning rate {significant(row['lr_start'], 3, True)}: {trials} its "
        f"validation loss is expected {regret}.",
        f"On these {count(int(row['problems']), 'problem')} and {count(int(row['tasks']), 'task')}, with "
        f"{count(seeds, 'seed')}, {apart}; this says nothing of other problems, sizes or budgets.",
    ]


def other_budgets(table: pd.DataFrame) -> list[str]:
    """The recommendations for smaller budgets than that of `answer`."""
    overall = table[(table["scope"] == ALL) & (table["sentence"] != "")].sort_values("trials", na_position="last")
    return [str(text) for text in overall["sentence"].iloc[:-1]]


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
