"""Figures of experiments: panels large enough for a slide, each with its predicted and measured number in the title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from optbench.experiments.verdict import UNKNOWN, Measurement, together
from optbench.formatting import format_number
from optbench.plots import style

#: For `matplotlib.rc_context`, while an experiment is drawn.
RC: dict[Any, Any] = {
    **style.RC, "font.size": 11, "axes.titlesize": 11.5, "axes.labelsize": 11, "legend.fontsize": 10,
    "legend.facecolor": style.PAPER,  # for legends with a frame: axes have no colour that they could inherit
    "lines.linewidth": 1.8, "xtick.labelsize": 10, "ytick.labelsize": 10,
}  # fmt: skip
#: Margins around and between panels, in inches.
_LEFT, _RIGHT, _TOP, _BOTTOM, _ACROSS, _DOWN = 0.85, 0.25, 1.6, 0.95, 0.95, 1.35
#: The mean widths of a character of title, subtitle and verdict, in inches.
_TITLE, _TEXT = 0.135, 0.088
#: Colours of series that are not optimizers, in order.
COLORS = (style.BLUE, style.VERMILLION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY, style.INK)


def slide(
    title: str,
    subtitle: str,
    measurements: Sequence[Measurement],
    panels: int,
    size: tuple[float, float] = (3.4, 3.0),
    columns: int = 3,
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels under a title and a subtitle, with the verdict below.

    Args:
        title: The title.
        subtitle: The conditions of the measurement: problem, size, number of seeds.
        measurements: The measurements that decide the verdict.
        panels: The number of panels.
        size: Width and height of a panel in inches.
        columns: The most panels in a row.

    Returns:
        The figure and its panels, row by row.
    """
    across = min(panels, columns)
    down = -(-panels // across)
    overall = together(measurements)
    verdict = "These measurements do not decide the claim." if overall == UNKNOWN else f"The claim {overall}."
    width = _LEFT + across * size[0] + (across - 1) * _ACROSS + _RIGHT
    width = max(width, 0.4 + _TITLE * len(title), 0.4 + _TEXT * len(subtitle))
    height = _TOP + down * size[1] + (down - 1) * _DOWN + _BOTTOM
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.text(0.2 / width, 1 - 0.15 / height, title, va="top", size=15, weight="bold")
    figure.text(0.2 / width, 1 - 0.5 / height, subtitle, va="top", size=10.5)
    figure.text(0.2 / width, 0.1 / height, verdict, va="bottom", size=10.5, weight="bold")
    axes = []
    for index in range(panels):
        row, column = divmod(index, across)
        left = _LEFT + column * (size[0] + _ACROSS)
        axes.append(style.add_axes(figure, (left, height - _TOP - (row + 1) * size[1] - row * _DOWN, *size)))
    return figure, axes


def heading(name: str, measurement: Measurement | None = None) -> str:
    """The title of a panel: its topic, and below it the predicted and the measured number."""
    if measurement is None:
        return name
    predicted = measurement.prediction.partition(" (")[0]
    measured = format_number(measurement.measured, 3, trim=True)
    low, high = (format_number(bound, 3, trim=True) for bound in (measurement.low, measurement.high))
    if low != high:
        measured += f" [{low}, {high}]"
    return f"{name}\npredicted {predicted}\nmeasured {measured}"


def logarithmic(axis: XAxis | YAxis, low: float, high: float) -> None:
    """Makes an axis logarithmic from `low` to `high` with plain numbers, as in the plots of results."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": (low, high)})
    style.plain_ticks(axis, low, high)


def contours(ax: Axes, ground: pd.DataFrame, levels: int = 12) -> None:
    """Draws the contours of a function of the plane, its start and its minimum.

    The levels are evenly spaced in the logarithm of the excess over the minimum. `ground` has x, y and value on a
    grid, and start_x, start_y, minimum_x, minimum_y.
    """
    grid = ground.pivot(index="y", columns="x", values="value")
    excess = grid.to_numpy() - grid.to_numpy().min()
    positive = excess[excess > 0]
    steps = np.geomspace(np.quantile(positive, 0.002), positive.max(), levels + 1)[:-1]
    ax.contour(grid.columns, grid.index, excess, levels=steps, colors=style.GRID, linewidths=0.9, zorder=0)
    ax.set(xlim=(grid.columns.min(), grid.columns.max()), ylim=(grid.index.min(), grid.index.max()))
    ax.grid(visible=False)
    first = ground.iloc[0]
    start: dict[str, Any] = {"markerfacecolor": style.PAPER, "markeredgecolor": style.INK}
    ax.plot(first["start_x"], first["start_y"], "o", markersize=6, zorder=6, **start)
    ax.plot(first["minimum_x"], first["minimum_y"], "*", color=style.INK, markersize=12, zorder=6,
            markeredgecolor=style.PAPER)  # fmt: skip


def path(ax: Axes, points: pd.DataFrame, color: str, label: str, **more: Any) -> None:
    """Draws a path (columns x, y in order of steps) up to its first point outside the axes."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    inside = (points["x"].between(left, right) & points["y"].between(bottom, top)).to_numpy()
    kept = points.iloc[: (len(inside) if inside.all() else int(np.argmin(inside)) + 1)]
    looks: dict[str, Any] = {"marker": ".", "markersize": 4, "linewidth": 1.3, "zorder": 3, **more}
    ax.plot(kept["x"], kept["y"], color=color, label=label, **looks)
