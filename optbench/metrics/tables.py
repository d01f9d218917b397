"""All tables of a results directory."""

from __future__ import annotations

import pandas as pd

from optbench.metrics.audit import audit, marked
from optbench.metrics.leaderboard import leaderboard, summary
from optbench.metrics.registry import TABLES
from optbench.results.stored import StoredResults


def all_tables(results: StoredResults, rank_by: str = "test_metric") -> dict[str, pd.DataFrame]:
    """The tables of a results directory (what `optbench.load` gives), by the names of their files: its
    frames (`studies` where tunings were repeated), the audit, the leaderboard that it marks, its summary, and those of
    `metrics.registry.TABLES`. `rank_by` is what all of them compare optimizers by.
    """
    findings = audit(results.trials, results.runs, results.cells)
    board = marked(leaderboard(results.runs, results.cells, rank_by), findings)
    frames = {name: getattr(results, name) for name in ("runs", "trials", "curves", "cells")}
    if len(results.studies):
        frames["studies"] = results.studies
    tables = {"summary": summary(board), "leaderboard": board, "audit": findings, **frames}
    for name, table in TABLES.items():
        tables[name] = table.make(results, tables, *([rank_by] if table.by_metric else []))
    return tables
