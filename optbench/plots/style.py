"""What all plots share: the look of an optimizer, panels, legend, and saving.

The colours are those of Okabe and Ito (2008), orange and sky blue darkened until every one has a
contrast of 3:1 to a white and to a near-black page alike. Ink, paper and grid are three colours
that occur nowhere else, so that a page which inlines a figure can put its own in their place.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from optbench.results.atomic import write_bytes

INK, PAPER, GRID = "#1f2328", "#fefffe", "#d3d7dc"
BLUE, SKY, VERMILLION, ORANGE = "#0072b2", "#2b97d1", "#d55e00", "#bf8300"
GREEN, PURPLE = "#009e73", "#c0649a"

SOLID, DASHED, DOTTED, DASHDOT = (0, ()), (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 1.6, 1.2, 1.6))

#: Where panels wrap: more columns than this are too small to read on a page.
COLUMNS = 4
#: Kept free around and between panels, in inches.
_LEFT, _BOTTOM, _TOP, _RIGHT, _ACROSS, _DOWN = 0.8, 0.6, 0.82, 0.15, 0.25, 0.5
#: The mean width of a character of a legend, in inches.
_CHARACTER = 0.082

#: For `matplotlib.rc_context`, while a figure is made and while it is saved.
RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    # Labels are what users called things: a dollar sign in one is a dollar sign.
    "text.parse_math": False,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
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
    # Text stays text: searchable, and a third of the size. In a PDF it is with the default font type
    # too; type 42 takes longer to embed than the figure takes to draw.
    "svg.fonttype": "none",
    "svg.hashsalt": "optbench",
}


class NothingToDraw(Exception):
    """The results don't hold what a plot is about; the text says what is missing."""


@dataclass(frozen=True)
class Look:
    """How one optimizer is drawn in every figure."""

    color: str
    dash: tuple[int, tuple[float, ...]]
    marker: str


#: The formats in which figures are written, and what each says of its making that would make equal figures differ.
FORMATS: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_KNOWN = {
    "sgd": Look(INK, SOLID, "o"),
    "momentum": Look(BLUE, SOLID, "s"),
    "nesterov": Look(SKY, DASHED, "D"),
    "adam": Look(VERMILLION, SOLID, "^"),
    "nadam": Look(ORANGE, DASHED, "v"),
    "adamax": Look(PURPLE, SOLID, "<"),
    "rmsprop": Look(GREEN, SOLID, ">"),
    "adagrad": Look(PURPLE, DASHDOT, "p"),
    "adadelta": Look(GREEN, DOTTED, "h"),
    "lbfgs": Look(INK, DOTTED, "*"),
}  # fmt: skip


_MARKERS = "XP8dHos^v<>"


def looks(optimizers: Iterable[str]) -> dict[str, Look]:
    """A look for each optimizer: the built-in ones' is fixed, others have one of the free combinations by their name.

    So an optimizer of one's own looks the same in all results, whoever else is in them; only where two would share
    colour and dash the later in the alphabet takes the next that is free. Pass all optimizers of the results, so that
    their plots agree.
    """
    names = sorted(set(optimizers))
    taken = {(look.color, look.dash) for look in _KNOWN.values()}
    dashes = (DASHDOT, DASHED, DOTTED, SOLID)
    colors = (BLUE, VERMILLION, ORANGE, SKY, GREEN, PURPLE, INK)
    free = [pair for dash in dashes for pair in [(color, dash) for color in colors] if pair not in taken]
    found = {name: _KNOWN[name] for name in names if name in _KNOWN}
    used: set[int] = set()
    for name in (name for name in names if name not in _KNOWN):
        if len(used) == len(free):
            used.clear()  # more optimizers than combinations
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
        place = digest % len(free)
        while place in used:
            place = (place + 1) % len(free)
        used.add(place)
        found[name] = Look(*free[place], _MARKERS[digest // len(free) % len(_MARKERS)])
    return found


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
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels of `size` inches, at most `columns` in a row, a legend to their right.
    Panels are meant to share their y axis: only the first of a row is labelled.

    `labels` are those of the y axis, where they are words and may be long.
    Everything is placed in inches: nothing is measured and laid out again when the figure is saved.
    """
    across = min(panels, columns)
    down = -(-panels // across)
    beside = 0.65 + _CHARACTER * max((len(str(line.get_label())) for line in legend), default=-8)
    margin = max(_LEFT, 0.3 + _CHARACTER * max(map(len, labels), default=0))
    width = margin + across * size[0] + (across - 1) * _ACROSS + beside + _RIGHT
    height = _TOP + down * size[1] + (down - 1) * _DOWN + _BOTTOM
    figure = titled((width, height), title, subtitle)
    width = figure.get_figwidth()
    axes = []
    for index in range(panels):
        row, column = divmod(index, across)
        left = margin + column * (size[0] + _ACROSS)
        ax = placed(figure, (left, height - _TOP - (row + 1) * size[1] - row * _DOWN, *size))
        ax.tick_params(labelleft=column == 0)
        axes.append(ax)
    if legend:
        right = margin + across * size[0] + (across - 1) * _ACROSS + 0.1
        figure.legend(
            handles=list(legend), loc="upper left", bbox_to_anchor=(right / width, 1 - _TOP / height),
            borderaxespad=0, handlelength=2.6, labelspacing=0.55,
        )  # fmt: skip
    return figure, axes


def titled(size: tuple[float, float], title: str, subtitle: str) -> Figure:
    """An empty figure of `size` inches, or as much wider as its title and what it shows need."""
    width, height = max(size[0], 0.3 + 0.115 * len(title), 0.3 + 0.075 * len(subtitle)), size[1]
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.text(0.15 / width, 1 - 0.12 / height, title, va="top", size=12, weight="bold")
    figure.text(0.15 / width, 1 - 0.35 / height, subtitle, va="top", size=9)
    return figure


def placed(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """Axes at (left, bottom, width, height) in inches."""
    width, height = figure.get_size_inches()
    left, bottom, across, up = place
    return figure.add_axes((left / width, bottom / height, across / width, up / height))


def broken(label: str) -> str:
    """A label such as `momentum[momentum=0.99]` on two lines where it is long."""
    return label.replace("[", "\n[", 1) if len(label) > 18 else label


def tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """The tuned runs, and the untuned ones of cells that have nothing to tune."""
    tuned = runs["tuned"].astype(bool)
    return runs[tuned | ~runs["cell_id"].isin(runs.loc[tuned, "cell_id"])]


def plain(value: float, position: int | None = None) -> str:
    """A tick's number as plain text (0.01, 20, 1e-5), which takes a fraction of the time of typeset powers."""
    if not math.isfinite(value):
        return ""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def plain_ticks(axis: Axis, low: float, high: float) -> None:
    """Labels a logarithmic axis from `low` to `high` by plain numbers, by decades where it is long."""
    decades = math.log10(high / low) if 0 < low < high else 0.0
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))
    if decades > 3:
        axis.set_major_locator(LogLocator(numticks=7))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades > 0.5 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)))


def cost_ticks(axis: Axis) -> None:
    """Labels an axis of example gradients: 2k, 100k, 1M."""
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(EngFormatter(sep=""))


def parts(cells: pd.DataFrame) -> list[tuple[str, dict[Any, Any]]]:
    """The (schedule, device, batch size) of the cells, one panel each: a title and the columns' values.

    Device and schedule are in the title only where there are several.
    """
    columns = ["schedule", "device", "batch_size"]
    found = cells[columns].drop_duplicates().sort_values(columns)
    several = [name for name in ("device", "schedule") if found[name].nunique() > 1]
    return [
        (", ".join([f"batch {row['batch_size']}", *(str(row[name]) for name in several)]), row)
        for row in found.to_dict("records")
    ]


def within(frame: pd.DataFrame, values: dict[Any, Any]) -> pd.DataFrame:
    """The rows of a frame whose columns have these values."""
    keep = pd.Series(True, index=frame.index)
    for name, value in values.items():
        keep &= frame[name] == value
    return frame[keep]


def scope(cells: pd.DataFrame) -> str:
    """Where a figure's numbers hold: its devices and schedules."""
    devices, schedules = (", ".join(sorted(cells[name].unique())) for name in ("device", "schedule"))
    return f"on {devices}, {schedules} learning rate"


def save(figure: Figure, directory: Path, stem: str) -> str:
    """Writes `stem`.svg, .png and .pdf and returns the SVG's text; equal figures give equal bytes.

    Raises OSError where the disk does not take them.
    """
    data = {}
    with mpl.rc_context(RC):
        for suffix, about in FORMATS.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=130, metadata=about)
            data[suffix] = buffer.getvalue()
            write_bytes(directory / f"{stem}.{suffix}", data[suffix])
    return data["svg"].decode()
