"""Figures for papers: type 42 fonts, no title within the figure, the width of a column, and nothing cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from optbench.plots import paper, style

SEVEN = ["adam", "momentum[momentum=0.99]", "sgd", "rmsprop", "lion", "mine", "nadam"]


def draw(panels: int = 1, names: Sequence[str] = SEVEN, labels: Sequence[str] = ()) -> Figure:
    with mpl.rc_context(style.RC):
        legend = [style.key(look, name) for name, look in style.looks(names).items()]
        figure, axes = style.sheet("The title", "the subtitle, which is longer", panels, legend, labels=labels)
        for ax in axes:
            ax.set(title="batch 20", xlabel="cost", xlim=(0, 1000), ylim=(0, 1))
            if labels:
                ax.set_yticks(range(len(labels)), labels)
        axes[0].set_ylabel("loss")
    return figure


def page_of(figure: Figure, folder: Path) -> tuple[bytes, float]:
    """The PDF, and its width in inches."""
    style.save(figure, folder, "x")
    content = (folder / "x.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
    assert box is not None
    return content, float(box[1]) / 72


@pytest.mark.parametrize(
    ("panels", "labels", "width"),
    [(1, (), paper.COLUMN), (2, (), paper.PAGE), (3, (), paper.PAGE), (7, (), paper.PAGE), (1, ["a" * 30], paper.PAGE)],
)
def test_a_pdf_is_as_wide_as_a_column_or_a_page(panels: int, labels: list[str], width: float, tmp_path: Path) -> None:
    content, found = page_of(draw(panels, labels=labels), tmp_path)
    assert 0.75 * width < found <= width + 0.05
    assert b"/Type3" not in content
    assert re.search(rb"/Subtype /(TrueType|CIDFontType2)", content)


def test_the_title_is_in_the_metadata_instead_of_the_figure(tmp_path: Path) -> None:
    content, _ = page_of(draw(), tmp_path)
    assert b"/Title (The title)" in content
    assert b"/Subject (the subtitle" in content
    with paper.paper_form(figure := draw()):
        shown = {text.get_text() for text in figure.findobj(Text) if text.get_visible()}
    assert "The title" not in shown
    assert {"batch 20", "cost", "loss"} <= shown


@pytest.mark.parametrize("panels", [1, 3, 7])
def test_neither_panels_nor_legend_overlap(panels: int) -> None:
    with mpl.rc_context(style.RC), paper.paper_form(figure := draw(panels)):
        figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.axes]
        boxes += [legend.get_window_extent() for legend in figure.legends if legend.get_visible()]
        assert len(boxes) == panels + 1
        overlaps = [(a, b) for a in boxes for b in boxes if a is not b and a.overlaps(b)]
    assert overlaps == []


def test_the_figure_is_afterwards_as_before(tmp_path: Path) -> None:
    figure = draw(3)
    before = style.save(figure, tmp_path, "x")
    assert style.save(figure, tmp_path, "y") == before
    for suffix in ("svg", "png", "pdf"):
        assert (tmp_path / f"x.{suffix}").read_bytes() == (tmp_path / f"y.{suffix}").read_bytes()


def test_a_format_that_is_not_wanted_leaves_no_old_file_but_a_large_svg_has_its_png(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = draw()
    before = style.save(figure, tmp_path, "x")
    assert style.save(figure, tmp_path, "x", ()) == before
    assert {path.name for path in tmp_path.iterdir()} == {"x.svg"}
    monkeypatch.setattr(style, "LARGE", len(before) - 1)
    style.save(figure, tmp_path, "x", ())
    assert {path.name for path in tmp_path.iterdir()} == {"x.svg", "x.png"}
