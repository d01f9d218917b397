"""The section of the page on ladders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from optbench.metrics.projection import projection
from optbench.metrics.registry import TABLES
from optbench.metrics.scaling import scaling, scaling_slopes
from optbench.metrics.tables import all_tables
from optbench.reporting.ladders import ladder_sentences, ladder_tables
from optbench.reporting.page import report_page
from tests.metrics.test_scaling import made, sized
from tests.reporting.conftest import Made
from tests.support.tiny import TINY_NET, run_tiny


def test_tables_say_what_is_known() -> None:
    runs, cells = sized({8: 2.0, 32: 1.5})
    table = scaling(runs, cells)
    speedups, projections = ladder_tables(table, projection(runs, cells), cells)
    assert "the compute that adam needs for the same loss" in speedups.caption
    texts = [row["speedup_text"] for row in speedups.rows]
    assert [text.startswith("≥ ") for text in texts] == (table["bound"] == "at least").tolist()
    assert all(row["interval"].endswith("– ∞") for row in speedups.rows if row["bound"] == "at least")
    assert [row["size_text"] for row in speedups.rows] == ["8", "8", "8", "32", "32", "32"]
    assert {row["test"] for row in projections.rows} <= {"inside", "outside", "untested"}
    sentences = ladder_sentences(scaling_slopes(runs, cells), projection(runs, cells))
    assert len(sentences) == 3
    assert "held-out" in sentences[0]


def test_without_ladders_there_is_nothing() -> None:
    runs, cells = made(count=1)
    assert list(ladder_tables(scaling(runs, cells), projection(runs, cells), cells)) == []
    assert ladder_sentences(scaling_slopes(runs, cells), projection(runs, cells)) == []


def test_the_page_has_the_section_only_with_a_ladder(made: Made, tmp_path: Path) -> None:
    assert 'id="ladders"' not in made.path.read_text("utf-8")
    budgets = ["1epochs", "2epochs", "4epochs"]
    results: Any = run_tiny(
        tmp_path / "run", problems=[TINY_NET], optimizers=["sgd", "adam"], run_budget=budgets, batch_sizes=[10], seeds=3
    )
    tables = all_tables(results)
    assert isinstance(tables["scaling"], pd.DataFrame)
    assert len(tables["scaling"]) == 3
    page = report_page(results, tables, [])
    assert 'id="ladders"' in page
    assert "Horizon and size" in page
    assert "held-out" in page
    assert {"scaling", "scaling_slopes", "projection"} <= TABLES.keys()
