"""An additional section of a report, such as the one that an experiment adds to the page of its results."""

from __future__ import annotations

import io
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots import style
from optbench.plots.glyphs import ignore_missing_glyphs


@dataclass(frozen=True)
class Section:
    """An additional section of a report: a title, text, and optionally a table and a figure.

    It follows the page's own sections on results and precedes the methods. Empty lines divide `text` into paragraphs.
    `caption` is the caption of the table, `reading` a sentence on how to read the figure. All text is escaped. Numbers
    are rounded as their columns require (`formatting.format_cell`); the table can be downloaded in full from the page.

    >>> section = Section("Momentum on a valley", "Larger momentum needs a smaller rate.")
    >>> optbench.report("results/quick", sections=[section])  # doctest: +SKIP
    """

    title: str
    text: str = ""
    table: pd.DataFrame | None = None
    caption: str = ""
    figure: Figure | None = None
    reading: str = ""

    @property
    def paragraphs(self) -> list[str]:
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]

    def svg(self) -> str:
        """The figure as the text of an SVG file; empty if there is none."""
        if self.figure is None:
            return ""
        buffer = io.StringIO()
        with mpl.rc_context(style.RC), ignore_missing_glyphs():
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()
