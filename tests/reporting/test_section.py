"""Further sections: what an experiment adds to a page."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from optbench.reporting.section import Section
from tests.reporting.test_page import Page, page_of, tables_of
from tests.support.frames import make


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return tables_of(make(optimizers=["adam", "sgd"], problems=["quadratic_valley"], trials=3, points=4))


def test_a_section_has_its_text_table_and_figure_on_the_page(tables: dict[str, pd.DataFrame]) -> None:
    drawing = Figure()
    drawing.add_subplot().plot([1, 2, 3])
    table = pd.DataFrame({"momentum": [0.5, 0.9], "test_loss": [0.123456, 0.2]})
    added = Section("A & B", "First <b>.\n\nSecond.", table, "What was run.", drawing, "Lower is better.")
    text = page_of(tables, sections=[added, Section("Nothing but a title")])
    page = Page(text)
    words = " ".join("".join(page.text).split())
    for part in ("A & B", "First <b>.", "Second.", "What was run.", "0.1235", "Lower is better.", "Nothing but"):
        assert part in words
    assert text.index("A &amp; B") < text.index('id="methods"')
    assert [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("aria-label") == "Lower is better."]


def test_a_section_may_have_no_rows(tables: dict[str, pd.DataFrame]) -> None:
    empty = {"None": None, "Bare": pd.DataFrame(), "Column": pd.DataFrame({"a": []})}
    text = page_of(tables, sections=[Section(f"Empty: {name}", table=table) for name, table in empty.items()])
    assert [name for name in empty if f"Empty: {name}" not in text] == []
