"""The form of a figure in a paper: without a title, as wide as a column or a page of text, the legend below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Labels of the texts that a caption replaces, of panels that may be placed in other rows, and of their common axes.
HEADING, PANEL, X_LABEL, Y_LABEL = "heading", "panel", "x label", "y label"
#: The width of a column and of a page in inches, as in most styles with two columns.
COLUMN, PAGE = 3.4, 7.0
#: Margins between panels, to the right, and from the lowest panel to the legend, in inches.
_ACROSS, _DOWN, _RIGHT, _BELOW = 0.25, 0.75, 0.12, 0.5
#: The height of a further line of a panel's title in inches.
_LINE = 0.15
#: The least width of a single panel in inches, and the share of its width to which one of several may shrink.
_LEAST, _SHRUNK = 1.9, 0.85
#: The widths of a legend's key and of one of its characters, in inches.
_KEY, _CHARACTER = 0.65, 0.082

#: Type 42 keeps glyphs as outlines of the font, which publishers require; many refuse type 3, matplotlib's default.
#: Saved with tight bounds, so that texts that stick out enlarge the page instead of being cut.
RC: dict[Any, Any] = {"pdf.fonttype": 42, "savefig.pad_inches": 0.02}


@contextmanager
def paper_form(figure: Figure) -> Iterator[dict[str, str]]:
    """A context in which a figure has the form of a paper; yields its title and subtitle as metadata of the PDF."""
    panels = [ax for ax in figure.axes if ax.get_label() == PANEL]
    headings = [text for text in figure.texts if text.get_label() == HEADING]
    with ExitStack() as undo:
        for text in headings:
            text.set_visible(False)
            undo.callback(text.set_visible, True)
        if panels and len(panels) == len(figure.axes):
            _place_panels(figure, panels, undo)
            _place_labels(figure, panels, undo)
            _place_legend(figure, panels, undo)
        yield dict(zip(("Title", "Subject"), (text.get_text() for text in headings), strict=False))


def _place_panels(figure: Figure, panels: list[Axes], undo: ExitStack) -> None:
    width, height = figure.get_size_inches()
    box = panels[0].get_position()
    margin, high = box.x0 * width, box.height * height
    fitting = int((PAGE - margin - _RIGHT + _ACROSS) / (_SHRUNK * box.width * width + _ACROSS))
    across = min(len(panels), max(2, fitting))
    whole = COLUMN if across == 1 and margin + _LEAST + _RIGHT <= COLUMN else PAGE
    wide = (whole - margin - _RIGHT - (across - 1) * _ACROSS) / across
    wide = min(wide, box.width * width)
    down = _DOWN + _LINE * max(ax.get_title("left").count("\n") for ax in panels)
    shown = [ax.xaxis.get_tick_params()["labelbottom"] for ax in panels]
    for index, ax in enumerate(panels):
        row, column = divmod(index, across)
        if not all(shown):  # only the lowest panels have them
            undo.callback(ax.tick_params, labelbottom=shown[index])
            ax.tick_params(labelbottom=index + across >= len(panels))
        undo.callback(ax.set_position, ax.get_position())
        undo.callback(ax.tick_params, labelleft=ax.yaxis.get_tick_params()["labelleft"])
        left, bottom = margin + column * (wide + _ACROSS), height - (row + 1) * high - row * down
        ax.set_position((left / width, bottom / height, wide / width, high / height))
        ax.tick_params(labelleft=column == 0)


def _place_labels(figure: Figure, panels: list[Axes], undo: ExitStack) -> None:
    left, right, bottom, top = _bounds(panels)
    places = {
        X_LABEL: ((left + right) / 2, bottom - _BELOW / figure.get_figheight()),
        Y_LABEL: (None, (bottom + top) / 2),
    }
    for text in figure.texts:
        if text.get_label() in places:
            x, y = places[str(text.get_label())]
            undo.callback(text.set_position, text.get_position())
            text.set_position((text.get_position()[0] if x is None else x, y))


def _place_legend(figure: Figure, panels: list[Axes], undo: ExitStack) -> None:
    for legend in figure.legends[:1]:
        lines, labels = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
        left, right, bottom, _ = _bounds(panels)
        room = (right - left) * figure.get_figwidth()
        columns = max(1, int(room / (_KEY + _CHARACTER * max(map(len, labels), default=1))))
        below = figure.legend(
            handles=lines, labels=labels, loc="upper left", ncols=min(columns, len(labels)), handlelength=2.6,
            bbox_to_anchor=(left, bottom - _BELOW / figure.get_figheight()), borderaxespad=0, columnspacing=1.0,
        )  # fmt: skip
        legend.set_visible(False)
        undo.callback(legend.set_visible, True)
        undo.callback(below.remove)


def _bounds(panels: list[Axes]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of all panels, as shares of the figure."""
    boxes = [ax.get_position() for ax in panels]
    return (
        min(box.x0 for box in boxes), max(box.x1 for box in boxes),
        min(box.y0 for box in boxes), max(box.y1 for box in boxes),
    )  # fmt: skip
