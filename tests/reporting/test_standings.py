"""The leaderboard over all tasks, by plain loops over the tables."""

from __future__ import annotations

import math
import statistics
from types import SimpleNamespace

import pandas as pd
import pytest

from optbench.metrics.tables import all_tables
from optbench.reporting.standings import standings
from tests.support.frames import make

#: Those of `tests.support.frames` in whose cells something fails, and three others.
SIX = ("adadelta", "adagrad", "adam", "lbfgs", "nadam", "sgd")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return all_tables(SimpleNamespace(**make(optimizers=SIX, seeds=4, trials=6, points=8).__dict__))


def test_each_column_by_a_plain_loop(tables: dict[str, pd.DataFrame]) -> None:
    table = standings(tables).set_index("optimizer")
    board = tables["leaderboard"]
    for name, row in table.iterrows():
        own = board[board["optimizer"] == name]
        ranks = [int(rank) for rank in own["rank"].dropna()]
        assert row["median_rank"] == statistics.median(ranks)
        pairs = tables["probability_of_improvement"]
        beaten = {
            str(other): sum(low > 0.5 for low in pairs.loc[pairs["other"] == other, "probability_low"])
            for other in table.index
        }
        assert row["rank"] == 1 + sum(own < beaten[str(name)] for own in beaten.values())
        assert row["failed_runs"] == sum(own["n_runs"] - own["n_ok"])
        assert row["audit"] == sum(tables["audit"]["optimizer"] == name)
        assert row["tied"] == ((table["rank"] == row["rank"]).sum() > 1)
        if name != "adam":
            verdicts = list(tables["verdicts"].query("optimizer == @name")["verdict"])
            assert [row["wins"], row["ties"], row["losses"]] == [verdicts.count(one) for one in ("win", "tie", "loss")]
    assert pd.isna(table.loc["adam", "wins"])
    assert list(table["rank"]) == sorted(table["rank"])


def test_ratios_are_geometric_means_over_tasks_that_both_have(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"].assign(step_ms=[1.0 + place % 7 for place in range(len(tables["cells"]))])
    table = standings({**tables, "cells": cells}, "sgd").set_index("optimizer")
    for name in ("adam", "lbfgs"):
        logs = []
        for _, task in cells.groupby(["problem", "batch_size"]):
            step = task.set_index("optimizer")["step_ms"]
            logs.append(math.log(step[name] / step["sgd"]))
        assert table.loc[name, "step_ratio"] == pytest.approx(math.exp(statistics.mean(logs)))
    assert table.loc["sgd", "step_ratio"] == 1
    assert pd.isna(table.loc["sgd", "wins"])


def test_nothing_run_yet_has_no_rank(tables: dict[str, pd.DataFrame]) -> None:
    frames = make(optimizers=["adam", "sgd"], problems=["quadratic_valley"])
    empty = {"cells": frames.cells.assign(status="missing", trials=0), "runs": frames.runs.iloc[:0],
             "trials": frames.trials.iloc[:0], "curves": frames.curves.iloc[:0], "studies": frames.studies}  # fmt: skip
    table = standings(all_tables(SimpleNamespace(**empty)))
    assert list(table["optimizer"]) == ["adam", "sgd"]
    assert table[["rank", "score", "median_rank", "step_ratio"]].isna().all(axis=None)
