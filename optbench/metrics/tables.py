"""All tables of a results directory."""

from __future__ import annotations

import pandas as pd

from optbench.metrics.audit import add_findings, audit
from optbench.metrics.leaderboard import leaderboard, summary
from optbench.metrics.registry import TABLES
from optbench.results.machines import check_seconds
from optbench.results.stored import StoredResults


def all_tables(results: StoredResults, rank_by: str = "test_metric") -> dict[str, pd.DataFrame]:
    """Computes all tables, by the names of their files.

    They are the frames themselves (`studies` if tunings were repeated), the audit, the leaderboard with the audit's
    findings, its summary, and the tables of `metrics.registry.TABLES`.

    Args:
        results: The results (see `optbench.load`).
        rank_by: The metric by which optimizers are compared, one of `metrics.METRICS`.

    Raises:
        UserError: The metric is unknown, or it is in seconds and the cells were timed on different machines.
    """
    check_seconds(rank_by, getattr(results, "machines", ()))  # frames alone say nothing of machines
    findings = audit(results.trials, results.runs, results.cells, getattr(results, "environments", None))
    board = add_findings(leaderboard(results.runs, results.cells, rank_by), findings)
    frames = {name: getattr(results, name) for name in ("runs", "trials", "curves", "cells")}
    if len(results.studies):
        frames["studies"] = results.studies
    tables = {"summary": summary(board, rank_by), "leaderboard": board, "audit": findings, **frames}
    for name, table in TABLES.items():
        tables[name] = table.make(results, tables, *([rank_by] if table.by_metric else []))
    return tables
