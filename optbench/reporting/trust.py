"""The tables of the section on failures and trust: failures, cost of tuning, and audit findings."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import pandas as pd

from optbench.reporting.html_tables import BAD, NUMBER, WIDE, Column, Table


def failures_table(failures: pd.DataFrame) -> Table:
    """The table `failures`: what failed, its cause, and its last losses."""
    several = [name for name in ("device", "schedule") if failures[name].nunique() > 1]
    columns = [
        Column("problem", "problem"),
        Column("batch_size", "batch", NUMBER),
        *(Column(name, name) for name in several),
        Column("optimizer", "optimizer"),
        Column("what", "training"),
        Column("lr", "learning rate", NUMBER),
        Column("status", "status", BAD),
        Column("error", "cause", WIDE),
        Column("initial_loss", "loss at start", NUMBER),
        Column("last_step", "last step", NUMBER),
        Column("tail", "last losses", WIDE),
    ]
    rows = [row | {"what": _what(row)} for row in failures.to_dict("records")]
    caption = (
        "All trainings that failed or diverged, with their last validation losses: each row lists its losses from the "
        "oldest to the newest. Trials that diverge are normal: they are part of the search for the largest rate that "
        "works."
    )
    return Table(caption, columns, rows, name="failures", source="failures")


def _what(row: dict[Hashable, Any]) -> str:
    if row["kind"] == "trial":
        return f"trial {row['trial']}"
    if row["kind"] == "run":
        return f"run, seed {row['seed']}, {'tuned' if row['tuned'] else 'default rate'}"
    return "cell"


def spending_table(cells: pd.DataFrame, trials: pd.DataFrame) -> Table:
    """The cost of tuning by optimizer, as a share of the tuning budget, over all cells."""
    failed = trials[trials["status"] != "ok"].groupby("optimizer", observed=True).size()
    seconds = trials["seconds"].astype(float).groupby(trials["optimizer"]).sum(min_count=1)
    sums = cells.groupby("optimizer", observed=True, sort=True)[["trials", "tuning_cost", "tuning_budget"]].sum()
    rows: list[dict[Hashable, Any]] = [
        {
            "optimizer": str(name), "trials": int(row["trials"]), "failed": int(failed.get(name, 0)),
            "tuning_cost": float(row["tuning_cost"]), "tuning_budget": float(row["tuning_budget"]),
            "share": f"{100 * row['tuning_cost'] / row['tuning_budget']:.1f} %" if row["tuning_budget"] else "–",
            "seconds": float(seconds.get(name, math.nan)),
        }
        for name, row in sums.iterrows()
    ]  # fmt: skip
    columns = [
        Column("optimizer", "optimizer"),
        Column("trials", "trials", NUMBER),
        Column("failed", "trials not finished", NUMBER),
        Column("tuning_cost", "cost", NUMBER),
        Column("tuning_budget", "budget", NUMBER),
        Column("share", "share of budget used", NUMBER),
        Column("seconds", "seconds of training", NUMBER),
    ]
    caption = (
        "Compute spent on tuning, summed over all cells, in example gradients. The unused part of each budget was too "
        "small for another run. Seconds are not a measure of speed, because trials ran at the same time on one machine."
    )
    return Table(caption, columns, rows, name="spending", source="cells")


def audit_table(audit: pd.DataFrame) -> Table:
    """The findings of the undertuning audit, with their reasons."""
    columns = [
        Column("problem", "problem"),
        Column("batch_size", "batch", NUMBER),
        Column("optimizer", "optimizer"),
        Column("finding", "finding"),
        Column("reason", "reason", WIDE),
    ]
    rows = [row | {"finding": str(row["finding"]).replace("_", " ")} for row in audit.to_dict("records")]
    caption = "Results that may reflect the tuning or the seeds rather than the optimizer."
    return Table(caption, columns, rows, name="audit", source="audit")
