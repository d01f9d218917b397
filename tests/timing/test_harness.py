"""What the harness itself takes: planning, charging, writing and reading results, tables, the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optbench.budget import Ledger
from optbench.config.load import configure
from optbench.metrics.tables import all_tables
from optbench.optimizers.builtin import BUILT_IN
from optbench.planning.matrix import make_plan
from optbench.reporting.page import report_page
from optbench.results.directory import ResultsDirectory
from optbench.results.load import load
from tests.support.directories import write_directory
from tests.support.large import large


def test_planner(benchmark: Any) -> None:
    """A matrix of 1,000 cells."""
    conditions = ",".join(map(str, range(10, 20)))
    config = configure(
        problems=[f"quadratic_valley[condition=[{conditions}]]"],
        optimizers=list(BUILT_IN),
        batch_sizes=list(range(1, 11)),
        devices=["cpu"],
    )
    plan = benchmark.pedantic(make_plan, args=(config,), rounds=5, warmup_rounds=1)
    assert len(plan.cells) == 1000


def test_ledger(benchmark: Any) -> None:
    """A thousand charges of a gradient."""

    def charged() -> Ledger:
        ledger = Ledger(100_000)
        for _ in range(1000):
            ledger.charge_gradient(100)
        return ledger

    assert benchmark.pedantic(charged, rounds=20, warmup_rounds=2).cost == 100_000


def test_writing_results(benchmark: Any, tmp_path: Path) -> None:
    """A trial with its curve, as often as one cell of the quick preset has some; disk included."""
    directory = ResultsDirectory(tmp_path / "run")
    directory.create()
    cell = make_plan(configure(problems=["quadratic_valley"], optimizers=["sgd"], batch_sizes=[10])).cells[0]
    curve = {"step": list(range(30)), "valid_loss": np.linspace(1, 0, 30).tolist()}
    rounds = iter(range(10**6))

    def write() -> None:
        store = directory.cell(f"{cell.id[:-6]}{next(rounds):06d}")
        store.write_cell(cell.record())
        for number in range(8):
            store.append_trial({"trial": number, "valid_loss": 0.1}, curve)

    benchmark.pedantic(write, rounds=5, warmup_rounds=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of 18 cells, with 6 runs and 6 trials each."""
    return write_directory(tmp_path_factory.mktemp("timing") / "run")


def test_reading_results(benchmark: Any, folder: Path) -> None:
    def read() -> int:
        results = load(folder)
        return len(results.runs) + len(results.trials) + len(results.curves)

    assert benchmark.pedantic(read, rounds=5, warmup_rounds=1) > 1000


def test_tables(benchmark: Any) -> None:
    """All tables of 300 runs."""
    results = large(problems=1, seeds=2, points=20, trials=5)
    tables = benchmark.pedantic(all_tables, args=(results,), rounds=3, warmup_rounds=1)
    assert len(tables["verdicts"]) > 0


def test_report(benchmark: Any, folder: Path) -> None:
    """The page, tables and plots of it apart."""
    results = load(folder)
    tables = all_tables(results)
    page = benchmark.pedantic(lambda: report_page(results, tables, []), rounds=3, warmup_rounds=1)
    assert page.count("<section") > 5
