"""Names in scripts that the font lacks: no warning, no box, and the name itself wherever the viewer has fonts."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib as mpl
import pytest

from optbench.plots import style
from optbench.plots.glyphs import escape_figure, escape_missing


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("adam", "adam"),
        ("äöü-β₁ −∞", "äöü-β₁ −∞"),
        ("a 动量", r"a \u52a8\u91cf"),
        ("🚀", r"\U0001f680"),
        ("a\nb", "a\nb"),
    ],
)
def test_only_characters_without_a_glyph_are_escaped(text: str, escaped: str) -> None:
    assert escape_missing(text) == escaped


@pytest.mark.parametrize("names", [("动量", "🚀"), ("adam", "äöü")])
def test_a_figure_is_written_without_warnings(names: tuple[str, str], tmp_path: Path) -> None:
    with mpl.rc_context(style.RC), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, (ax,) = style.sheet(
            names[0], names[1], 1, [style.key(style.looks(names)[name], name) for name in names]
        )
        ax.plot([0, 1], [0, 1])
        ax.set_yticks([0, 1], list(names))
        ax.text(0.5, 0.5, names[0])
        svg = style.save(figure, tmp_path, "x")
    assert all(svg.count(f">{name}</text>") >= 2 for name in names)
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".png", ".pdf"}
    shown = {escape_missing(name) for name in names}
    assert {label.get_text() for label in ax.get_yticklabels()} == shown
    assert {text.get_text() for text in figure.legends[0].get_texts()} == shown
    assert escape_figure(figure) is False  # nothing is left to be escaped
