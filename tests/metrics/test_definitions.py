"""Every table says where it is defined, and the place exists."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from optbench.metrics import definitions
from optbench.metrics.definitions import SECTIONS, write_index
from optbench.metrics.tables import all_tables
from tests.support.frames import VALLEY, make

METHODOLOGY = Path(__file__).parents[2] / "docs" / "methodology.md"


def anchors() -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^## (.+)$", METHODOLOGY.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_table_is_defined_in_a_section_that_exists() -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY], batch_sizes=[32], trials=4, points=6)
    tables = all_tables(SimpleNamespace(**frames.__dict__))
    assert set(SECTIONS) == {*tables, "studies"}, "studies: only where tunings were repeated"
    assert set(SECTIONS.values()) <= anchors()


def test_the_section_names_its_table() -> None:
    text = METHODOLOGY.read_text("utf-8")
    for name in sorted({*SECTIONS} - {"runs", "trials", "curves", "cells", "leaderboard", "summary"}):
        heading = SECTIONS[name].partition("-")[0]
        section = re.search(rf"^## {heading}\. .*?(?=^## )", text, re.M | re.S)
        assert section, name
        assert re.search(rf"^Tables? .*`{name}`", section.group(), re.M), name


def test_the_index_links_each_table_to_where_it_is_defined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = write_index(["verdicts", "runs"], tmp_path)
    for name, link, anchor in re.findall(r"^- `(\w+)`: \[section \d+\]\((.+)#(.+)\)$", text, re.M):
        assert (tmp_path / link).resolve() == METHODOLOGY
        assert SECTIONS[name] == anchor
    assert text.count("](") == 2
    assert text.index("`runs`") < text.index("`verdicts`")
    assert "Notes" not in text
    monkeypatch.setattr(definitions, "METHODOLOGY", tmp_path / "nowhere.md")
    assert "- `runs`: section 5\n" in write_index(["runs"], tmp_path), "no link that leads nowhere"
    assert write_index(["runs"], tmp_path, ["left out: x"]).endswith("## Notes\n\n- left out: x\n")
