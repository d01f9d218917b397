"""Shared parts of all plots: the look of each optimizer, panels, legends and saving.

The colours are those of Okabe and Ito (2008), with orange and sky blue darkened so that each colour has a contrast of
at least 3:1 to both a white and a near-black page. Ink, paper and grid are three colours that are used for nothing
more, so that a page which inlines a figure can replace them by its own.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Collection, Container, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from optbench.plots import paper
from optbench.plots.glyphs import FONT, escape_figure, ignore_missing_glyphs
from optbench.results.atomic import write_bytes

_T = TypeVar("_T")

INK, PAPER, GRID = "#1f2328", "#fefffe", "#d3d7dc"
BLUE, SKY, VERMILLION, ORANGE = "#0072b2", "#2b97d1", "#d55e00", "#bf8300"
GREEN, PURPLE = "#009e73", "#c0649a"

SOLID, DASHED, DOTTED, DASHDOT = (0, ()), (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 1.6, 1.2, 1.6))

#: The most panels in a row; with more, they are too small to read on a page.
COLUMNS = 4
#: Margins around and between panels, in inches.
_LEFT, _BOTTOM, _TOP, _RIGHT, _ACROSS, _DOWN = 0.8, 0.6, 0.82, 0.15, 0.25, 0.5
#: The mean width of a character of a legend, in inches, and of one of a text by its size in points.
_CHARACTER, _WIDTH = 0.082, 0.0083
#: The sizes in points of a panel's title on one line and on several, and the height of a further line in inches.
_TITLE, _LONG_TITLE, _LINE = 10, 8, 0.15
#: The room in inches for the x label of a panel that has another one below it.
_X_LABEL = 0.18
#: The longest list of schedules in a subtitle, in characters.
_LISTED = 60

#: For `matplotlib.rc_context`, while a figure is made and while it is saved.
RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    # Labels contain names chosen by users, in which a dollar sign does not start a formula.
    "text.parse_math": False,
    "font.sans-serif": [FONT, "Verdana", "Arial"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
    "hatch.color": GRID,
    "hatch.linewidth": 0.8,
    # Text stays text: it is searchable and needs a third of the size.
    "svg.fonttype": "none",
    "svg.hashsalt": "optbench",
}


class NothingToDraw(Exception):
    """Raised if the results lack the values that a plot shows; the message names what is missing."""


@dataclass(frozen=True)
class Look:
    """How one optimizer is drawn in every figure."""

    color: str
    dash: tuple[int, tuple[float, ...]]
    marker: str


#: The formats in which figures are written, each without the metadata that would make equal figures differ.
FORMATS: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
#: An SVG with more characters than this is an image on the page, and so has a PNG in any case.
LARGE = 90_000
_KNOWN = {
    "sgd": Look(INK, SOLID, "d"),
    "momentum": Look(BLUE, SOLID, "s"),
    "nesterov": Look(SKY, DASHED, "D"),
    "adam": Look(VERMILLION, SOLID, "^"),
    "nadam": Look(ORANGE, DASHED, "v"),
    "adamax": Look(PURPLE, SOLID, "<"),
    "rmsprop": Look(GREEN, SOLID, ">"),
    "adagrad": Look(PURPLE, DASHDOT, "p"),
    "adadelta": Look(GREEN, DOTTED, "h"),
    "lbfgs": Look(INK, DOTTED, "P"),
}  # fmt: skip


_COLORS = (BLUE, VERMILLION, ORANGE, SKY, GREEN, PURPLE, INK)
_DASHES = (DASHDOT, DASHED, DOTTED, SOLID)
#: A cross, a circle and a star have meanings of their own: a failed run, the start, and the minimum.
_MARKERS = "P8dHs^v<>Dph"


def looks(optimizers: Iterable[str]) -> dict[str, Look]:
    """A look for each optimizer: up to seven have seven colours, and up to twelve have different marks.

    Built-in optimizers prefer a fixed look, others one of the free combinations of colour and dash, by their name
    without parameters, so that they look the same in nearly all results. If the colour, or the mark, is taken by an
    optimizer that comes first (built-in ones, their variants, then by the alphabet), the next free one is used. Pass
    all optimizers of the results, so that their plots agree.
    """
    chosen: dict[str, Look] = {}
    names = set(optimizers)
    bases = {name: name.partition("[")[0] for name in names}
    variants = sorted(name for name in names - _KNOWN.keys() if bases[name] in _KNOWN)
    first = [*(name for name in _KNOWN if name in names), *variants]
    for name in (*first, *sorted(names.difference(first))):
        chosen[name] = _distinguish(_KNOWN.get(bases[name]) or _preferred_look(bases[name]), chosen.values())
    return dict(sorted(chosen.items()))


def _preferred_look(name: str) -> Look:
    taken = {(look.color, look.dash) for look in _KNOWN.values()}
    free = [pair for dash in _DASHES for pair in [(color, dash) for color in _COLORS] if pair not in taken]
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return Look(*free[digest % len(free)], _MARKERS[digest // len(free) % len(_MARKERS)])


def _distinguish(look: Look, others: Collection[Look]) -> Look:
    """The look, with another colour, dash or mark if these are taken and others are free."""
    color, dash = look.color, look.dash
    colors, lines = {other.color for other in others}, {(other.color, other.dash) for other in others}
    if color in colors and len(colors) < len(_COLORS):
        color = _next_free(color, _COLORS, colors)
    elif (color, dash) in lines:
        pairs = [(color, dash) for dash in _DASHES for color in _COLORS]
        color, dash = _next_free((color, dash), pairs, lines)
    return Look(color, dash, _next_free(look.marker, _MARKERS, {other.marker for other in others}))


def _next_free(preferred: _T, values: Sequence[_T], taken: Container[_T]) -> _T:
    """The first value that is not taken, from the preferred one on in a circle; the preferred one if all are taken."""
    start = values.index(preferred)
    return next((value for value in (*values[start:], *values[:start]) if value not in taken), preferred)


def key(look: Look, label: str) -> Line2D:
    """An optimizer's entry in a legend."""
    return Line2D(
        [], [], color=look.color, linestyle=look.dash, marker=look.marker, markersize=5, linewidth=1.8, label=label
    )


def sheet(
    title: str,
    subtitle: str,
    panels: int,
    legend: Sequence[Line2D] = (),
    size: tuple[float, float] = (3.1, 2.5),
    columns: int = COLUMNS,
    labels: Iterable[str] = (),
    titles: Sequence[str] = (),
    below: int = 0,
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels with a legend to their right.

    Panels are assumed to share their y axis: only the first one of a row has labels. All places are in inches, so that
    nothing is measured and laid out again when the figure is saved.

    Args:
        title: The title of the figure.
        subtitle: The line below the title.
        panels: The number of panels.
        legend: The entries of the legend.
        size: Width and height of a panel in inches.
        columns: The most panels in a row.
        labels: The labels of the y axis if they are words, which may be long.
        titles: The titles of the panels, which are wrapped if they are long.
        below: The number of further lines of the labels of the x axis.

    Returns:
        The figure and its panels, row by row.
    """
    across = min(panels, columns)
    down = -(-panels // across)
    beside = 0.65 + _CHARACTER * max((len(str(line.get_label())) for line in legend), default=-8)
    margin = max(_LEFT, 0.3 + _CHARACTER * max(map(len, labels), default=0))
    width = margin + across * size[0] + (across - 1) * _ACROSS + beside + _RIGHT
    wrapped = [wrap_title(title, size[0]) for title in titles]
    more = _LINE * max((title.count("\n") for title, _ in wrapped), default=0)
    top, gap = _TOP + more, _DOWN + more + (_X_LABEL if wrapped else 0.0)
    height = top + down * size[1] + (down - 1) * gap + max(_BOTTOM, 0.3 + _LINE * (below + 1))
    figure = make_figure((width, height), title, subtitle)
    width = figure.get_figwidth()
    axes = []
    for index in range(panels):
        row, column = divmod(index, across)
        left = margin + column * (size[0] + _ACROSS)
        ax = add_axes(figure, (left, height - top - (row + 1) * size[1] - row * gap, *size))
        ax.tick_params(labelleft=column == 0)
        ax.set_label(paper.PANEL)
        if wrapped:
            ax.set_title(wrapped[index][0], size=wrapped[index][1])
        axes.append(ax)
    if legend:
        right = margin + across * size[0] + (across - 1) * _ACROSS + 0.1
        figure.legend(
            handles=list(legend), loc="upper left", bbox_to_anchor=(right / width, 1 - top / height),
            borderaxespad=0, handlelength=2.6, labelspacing=0.55,
        )  # fmt: skip
    return figure, axes


def make_figure(size: tuple[float, float], title: str, subtitle: str) -> Figure:
    """An empty figure of `size` inches, or wider if its title or subtitle needs more space."""
    width, height = max(size[0], 0.3 + 0.115 * len(title), 0.3 + 0.075 * len(subtitle)), size[1]
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.text(0.15 / width, 1 - 0.12 / height, title, va="top", size=12, weight="bold", label=paper.HEADING)
    figure.text(0.15 / width, 1 - 0.35 / height, subtitle, va="top", size=9, label=paper.HEADING)
    return figure


def add_axes(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """New axes at `place`: (left, bottom, width, height) in inches."""
    width, height = figure.get_size_inches()
    left, bottom, across, up = place
    return figure.add_axes((left / width, bottom / height, across / width, up / height))


def break_label(label: str) -> str:
    """A label such as `momentum[momentum=0.99]`, on two lines if it is long."""
    return label.replace("[", "\n[", 1) if len(label) > 18 else label


def wrap_label(label: str, characters: int) -> str:
    """A label that names a selection, such as `wsd[decay=0.2,warmup=100]`, on lines of at most so many characters.

    Lines end after commas and before brackets, also if that leaves a longer one.
    """
    lines = [""]
    for part in re.split(r"(?<=,)|(?=\[)", label):
        if lines[-1] and len(lines[-1] + part) > characters:
            lines.append(part.lstrip())
        else:
            lines[-1] += part
    return "\n".join(lines)


def wrap_title(title: str, width: float) -> tuple[str, float]:
    """The title of a panel `width` inches wide and its size: smaller, and on several lines, if it does not fit."""
    if len(title) * _WIDTH * _TITLE <= width:
        return title, _TITLE
    return wrap_label(title, int(width / (_WIDTH * _LONG_TITLE))), _LONG_TITLE


def select_tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """The tuned runs, and the untuned runs of cells without a tuning."""
    tuned = runs["tuned"].astype(bool)
    return runs[tuned | ~runs["cell_id"].isin(runs.loc[tuned, "cell_id"])]


def plain_number(value: float, position: int | None = None) -> str:
    """The label of a tick as plain text (0.01, 20, 1e-5), which is much faster to draw than typeset powers."""
    if not math.isfinite(value):
        return ""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def plain_ticks(axis: Axis, low: float, high: float) -> None:
    """Labels a logarithmic axis from `low` to `high` with plain numbers, at decades if it is long."""
    decades = math.log10(high / low) if 0 < low < high else 0.0
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain_number))
    if decades > 3:
        axis.set_major_locator(LogLocator(numticks=7))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades > 0.5 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)))


def cost_ticks(axis: Axis) -> None:
    """Labels an axis of example gradients with units: 2k, 100k, 1M."""
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(EngFormatter(sep=""))


def parts(cells: pd.DataFrame) -> list[tuple[str, dict[Any, Any]]]:
    """One panel for each schedule, device and batch size of the cells: its title and the values of these columns.

    Device and schedule are part of the title only if there are several.
    """
    columns = ["schedule", "device", "batch_size"]
    panels = cells[columns].drop_duplicates().sort_values(columns)
    several = [name for name in ("device", "schedule") if panels[name].nunique() > 1]
    return [
        (", ".join([f"batch {row['batch_size']}", *(str(row[name]) for name in several)]), row)
        for row in panels.to_dict("records")
    ]


def describe_tuning(tuned: pd.Series) -> str:
    """A word for a figure's subtitle: whether what it shows was tuned.

    Args:
        tuned: Whether each run, or cell, that is shown was tuned.
    """
    flags = tuned.fillna(False).astype(bool)
    if flags.any() and not flags.all():
        return "tuned, unless there is nothing to tune"
    return "tuned" if flags.any() else "untuned"


def select_rows(frame: pd.DataFrame, values: dict[Any, Any]) -> pd.DataFrame:
    """The rows of a frame whose columns have these values."""
    keep = pd.Series(True, index=frame.index)
    for name, value in values.items():
        keep &= frame[name] == value
    return frame[keep]


def scope(cells: pd.DataFrame) -> str:
    """The devices and schedules of a figure in words, for its subtitle; only the number of schedules if it is long."""
    devices, schedules = (", ".join(sorted(cells[name].unique())) for name in ("device", "schedule"))
    if len(schedules) > _LISTED and (number := cells["schedule"].nunique()) > 1:
        return f"on {devices}, {number} learning rate schedules"
    return f"on {devices}, {schedules} learning rate"


def save(figure: Figure, directory: Path, stem: str, formats: Collection[str] | None = None) -> str:
    """Writes `stem`.svg, .png and .pdf and returns the text of the SVG; equal figures give equal bytes.

    The PDF has the form of a paper (see `paper`), without the title, which is in its metadata.

    Args:
        figure: The figure.
        directory: The folder for the files.
        stem: Their name without the suffix.
        formats: The formats that are wanted in addition to SVG (default: all). A file in another format, which an
            earlier call has written, is removed, so that all files show the same; a large SVG keeps its PNG.

    Raises:
        OSError: A file cannot be written.
    """
    data: dict[str, bytes] = {}
    with mpl.rc_context(RC), ignore_missing_glyphs(), ExitStack() as form:
        escaped = False
        for suffix, about in FORMATS.items():
            large = suffix == "png" and len(data["svg"]) > LARGE
            if not (suffix == "svg" or formats is None or suffix in formats or large):
                (directory / f"{stem}.{suffix}").unlink(missing_ok=True)
                continue
            if suffix != "svg":
                escaped = escape_figure(figure) or escaped
            # Escapes are longer than the characters for which there is room.
            bounds = "tight" if escaped else None
            metadata: dict[str, str | None] = {**about}
            if suffix == "pdf":
                form.enter_context(mpl.rc_context(paper.RC))
                bounds = "tight"
                metadata |= form.enter_context(paper.paper_form(figure))
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=130, metadata=metadata, bbox_inches=bounds)
            data[suffix] = buffer.getvalue()
            write_bytes(directory / f"{stem}.{suffix}", data[suffix])
    return data["svg"].decode()
