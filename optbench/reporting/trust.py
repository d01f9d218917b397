"""The tables that tell what to trust: what failed, what tuning cost, what the audit found."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import pandas as pd

from optbench.reporting.html_tables import BAD, NUMBER, WIDE, Column, Table


def failures_table(failures: pd.DataFrame) -> Table:
    """What failed, why, and how its loss went: the table `failures`."""
    several = [name for name in ("device", "schedule") if failures[name].nunique() > 1]
    columns = [
        Column("problem", "problem"),
        Column("batch_size", "batch", NUMBER),
        *(Column(name, name) for name in several),
        Column("optimizer", "optimizer"),
        Column("what", "what"),
        Column("lr", "rate", NUMBER),
        Column("status", "status", BAD),
        Column("error", "cause", WIDE),
        Column("initial_loss", "loss at start", NUMBER),
        Column("last_step", "last step", NUMBER),
        Column("tail", "last losses", WIDE),
    ]
    rows = [row | {"what": _what(row)} for row in failures.to_dict("records")]
    caption = (
        "Everything that failed, with its last validation losses, the oldest first. Diverged trials are part of "
        "searching for the largest rate that works."
    )
    return Table(caption, columns, rows, name="failures", source="failures")


def _what(row: dict[Hashable, Any]) -> str:
    if row["kind"] == "trial":
        return f"trial {row['trial']}"
    if row["kind"] == "run":
        return f"run, seed {row['seed']}, {'tuned' if row['tuned'] else 'default rate'}"
    return "cell"


def spending_table(cells: pd.DataFrame, trials: pd.DataFrame) -> Table:
    """By optimizer what its tuning was charged, of what it was allowed."""
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
        Column("failed", "not ended ok", NUMBER),
        Column("tuning_cost", "charged", NUMBER),
        Column("tuning_budget", "of budget", NUMBER),
        Column("share", "share", NUMBER),
        Column("seconds", "seconds of training", NUMBER),
    ]
    caption = (
        "What tuning really cost, over all cells, in example gradients. What is left of a budget was too little for "
        "one more whole run. Seconds are those of trials that shared the machine: no measurement of speed."
    )
    return Table(caption, columns, rows, name="spending", source="cells")


def audit_table(audit: pd.DataFrame) -> Table:
    """What the undertuning audit found, with its reasons."""
    columns = [
        Column("problem", "problem"),
        Column("batch_size", "batch", NUMBER),
        Column("optimizer", "optimizer"),
        Column("finding", "finding"),
        Column("reason", "reason", WIDE),
    ]
    rows = [row | {"finding": str(row["finding"]).replace("_", " ")} for row in audit.to_dict("records")]
    caption = "What may tell of the tuning or the seeds rather than of the optimizer."
    return Table(caption, columns, rows, name="audit", source="audit")
