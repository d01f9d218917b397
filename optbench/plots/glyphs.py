"""Names in scripts that the font of the figures lacks: they stay text in SVG, and are written as escapes elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

#: The font that comes with matplotlib, so that figures are the same on every machine.
FONT = "DejaVu Sans"


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    fonts = (get_font(findfont(FontProperties(family=FONT, weight=weight))) for weight in ("normal", "bold"))
    return all(font.get_char_index(ord(character)) for font in fonts)


def escape_missing(text: str) -> str:
    """Return a text in which characters without a glyph are escapes such as `\\u91cf`."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() or _has_glyph(c) else c.encode("unicode_escape").decode() for c in text)


def escape_figure(figure: Figure) -> bool:
    """Replace characters without a glyph in all texts of a figure; returns whether there were any."""
    found = False
    for text in figure.findobj(Text):
        if (escaped := escape_missing(text.get_text())) != text.get_text():
            text.set_text(escaped)
            found = True
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        labels = [label.get_text() for label in axis.get_majorticklabels()]
        if any(map(_lacks_glyphs, labels)):
            # Ticks take their texts from the formatter whenever they are drawn.
            axis.set_major_formatter(FuncFormatter(partial(_escape_tick, axis.get_major_formatter())))
            found = True
    return found


def _lacks_glyphs(text: str) -> bool:
    return escape_missing(text) != text


def _escape_tick(format_tick: Callable[[float, int | None], str], value: float, position: int | None = None) -> str:
    return escape_missing(format_tick(value, position))


@contextmanager
def ignore_missing_glyphs() -> Iterator[None]:
    """A context without warnings of missing glyphs: before texts are escaped, and for SVG, whose viewer has fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield
