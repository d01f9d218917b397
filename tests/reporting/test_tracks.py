"""Tracks on the page: a table that is the frame, and sentences; both only where an optimizer has a recipe."""

from __future__ import annotations

from typing import Any

from optbench.metrics.track_agreement import agreements
from optbench.reporting.tracks import track_sentences, track_tables
from tests.reporting.conftest import Made

HEADING = "What tuning more hyperparameters gained"


def test_the_table_has_the_rows_of_the_frame(recipes: Made) -> None:
    frame = recipes.tables["tracks"]
    [table] = track_tables(frame, recipes.results.cells)
    assert [(row["base"], row["track"], row["optimizer"]) for row in table.rows] == [
        (base, track, label)
        for _ in (10, 100)
        for base in ("adam", "sgd")
        for track, label in (("default", base), ("rate only", base), ("recipe", f"{base}_recipe"))
    ]
    assert [row["median"] for row in table.rows] == frame["median"].tolist()
    assert set(frame["n"]) == {3, 6}


def test_the_page_has_table_and_sentences(recipes: Made) -> None:
    html = recipes.path.read_text("utf-8")
    assert html.count(HEADING) == 1
    sentences = track_sentences(recipes.tables["tracks"], recipes.tables["track_agreement"])
    assert len(sentences) == 3
    assert sentences == agreements(recipes.tables["track_agreement"])
    for sentence in sentences:
        assert sentence.partition(" cannot")[0] in html
    assert 'data-download="tracks"' in html


def test_without_recipes_the_page_does_not_grow(made: Made) -> None:
    assert set(made.tables["tracks"]["track"]) == {"default", "rate only"}
    assert len(made.tables["track_agreement"]) == 1
    assert HEADING not in made.path.read_text("utf-8")


def test_filters_leave_the_rows_of_a_selection(recipes: Made, opened: Any) -> None:
    page = opened(f"{recipes.address}#learning-rates?optimizer=adam_recipe&batch_size=10")
    rows = page.page.evaluate(
        """() => [...document.querySelectorAll("#learning-rates tbody tr")]
        .filter(row => !row.hidden && row.closest("table").textContent.includes("compared with"))
        .map(row => row.innerText)"""
    )
    assert len(rows) == 1
    assert "recipe" in rows[0]
    hidden = page.page.locator("#learning-rates ul.whole").is_hidden()
    assert hidden, "the agreement is of all results"
