"""Tables are made in the registry's order, from the results and the tables before them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from optbench.metrics import registry
from optbench.metrics.tables import all_tables
from tests.support.frames import VALLEY, make


def test_tables_are_made_in_order_from_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = make(optimizers=["adam"], problems=[VALLEY])
    results = SimpleNamespace(**frames.__dict__)
    first = registry.Table(lambda results, tables: tables["leaderboard"].head(1))
    second = registry.Table(lambda results, tables: pd.concat([tables["first"], tables["first"]]))
    monkeypatch.setattr("optbench.metrics.tables.TABLES", {"first": first, "second": second})
    tables = all_tables(results)
    assert list(tables)[-2:] == ["first", "second"]
    assert len(tables["second"]) == 2


def test_what_compares_optimizers_does_so_by_the_metric_asked_for() -> None:
    """A ranking by one metric beside verdicts by another one would be two answers to one question."""
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY], seeds=4)
    adam = frames.runs["optimizer"] == "adam"
    frames.runs["test_metric"] = [0.1 + seed / 100 if is_adam else 0.2 + seed / 100
                                  for is_adam, seed in zip(adam, frames.runs["seed"], strict=True)]  # fmt: skip
    frames.runs["status"] = "ok"
    frames.runs["valid_loss"] = -frames.runs["test_metric"]
    results = SimpleNamespace(**frames.__dict__)
    for metric, best in (("test_metric", "adam"), ("valid_loss", "sgd")):
        tables = all_tables(results, metric)
        assert set(tables["verdicts"]["metric"]) == {metric}
        assert set(tables["leaderboard"].query("rank == 1")["optimizer"]) == {best}
        base = tables["rank_stability"].query("variation == 'none'").set_index("optimizer")["rank"]
        assert base.idxmin() == best
        pairs = tables["probability_of_improvement"].set_index("optimizer")["probability"]
        assert pairs.idxmax() == best


@pytest.mark.processes
def test_naming_the_metrics_imports_no_pandas() -> None:
    code = "import sys, optbench.metrics; sys.exit('pandas' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
