"""The paths of all optimizers over the contours of a two-dimensional problem."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optbench.plots import style
from optbench.problem.data import Plane

#: Points of a path are dropped if they are closer to the last point kept than this fraction of the domain's sides.
_RESOLUTION = 0.002
#: The maximal number of points of a path; they are dense at the start, where steps are long.
_POINTS = 300
#: Sizes in inches: the panel of all optimizers, the panels of one; the number of these in a row; the space between.
_LARGE, _SMALL, _ROW = 3.6, (1.3, 1.15), 5
_LEFT, _ACROSS, _DOWN, _BETWEEN, _TOP, _BOTTOM = 0.55, 0.12, 0.4, 0.65, 0.85, 0.05


def thin_path(path: pd.DataFrame, plane: Plane) -> pd.DataFrame:
    """Drops the invisible points of a path: those of steps shorter than the line width, and late ones of long paths.

    `path` has columns x and y, in order of steps. Its first and last finite point are kept.
    """
    path = path[np.isfinite(path["x"]) & np.isfinite(path["y"])]
    points = path[["x", "y"]].to_numpy(dtype=float)
    (left, right), (bottom, top) = plane.domain
    scale = np.array([right - left, top - bottom])
    keep = [0] if len(points) else []
    for index in range(1, len(points)):
        if np.abs((points[index] - points[keep[-1]]) / scale).max() > _RESOLUTION:
            keep.append(index)
    if len(keep) > _POINTS:
        chosen = np.unique(np.geomspace(1, len(keep), _POINTS).astype(int)) - 1
        keep = [keep[index] for index in chosen]
    if len(points) and keep[-1] != len(points) - 1:
        keep.append(len(points) - 1)
    return path.iloc[keep]


@mpl.rc_context(style.RC)
def trajectories(
    paths: pd.DataFrame,
    cells: pd.DataFrame,
    problem: str,
    plane: Plane,
    x: np.ndarray,
    y: np.ndarray,
    value: np.ndarray,
) -> tuple[Figure, pd.DataFrame]:
    """Draws the path of the first seed of every optimizer, per batch size, device and schedule.

    There is one panel with all optimizers and one for each. Paths end at the border of the domain; a run that failed
    ends in a cross. The levels of the contours are evenly spaced in the logarithm of the function's excess over its
    minimum.

    Args:
        paths: The paths, with the common columns and tuned, step, x, y.
        cells: The cells of the results.
        problem: The label of the problem.
        plane: Its start, minimum and domain.
        x: The first coordinates of the grid, of shape (n,).
        y: The second coordinates of the grid, of shape (m,).
        value: The function on the grid, of shape (m, n).

    Returns:
        The figure and the points drawn.
    """
    looks = style.looks(cells["optimizer"])
    cells, paths = cells[cells["problem"] == problem], style.select_tuned(paths[paths["problem"] == problem])
    paths = paths[paths["seed"] == paths["seed"].min()].sort_values(["cell_id", "step"])
    thin = [thin_path(path, plane) for _, path in paths.groupby("cell_id")]
    drawn = pd.concat(thin, ignore_index=True) if thin else paths
    names = sorted(cells["optimizer"].unique())
    panels = style.parts(cells)
    figure, blocks = _blocks(
        problem,
        f"paths from one start, first seed, {style.describe_tuning(paths['tuned'])}, {style.scope(cells)}; "
        "contours evenly spaced in log(excess over the minimum)",
        panels=len(panels),
        small=len(names),
    )
    for (everything, *small), (title, values) in zip(blocks, panels, strict=True):
        here = style.select_rows(drawn, values)
        _ground(everything, plane, x, y, value, levels=12)
        text, size = style.wrap_title(title, _LARGE)
        everything.set_title(text, size=size)
        for name, ax in zip(names, small, strict=True):
            _ground(ax, plane, x, y, value, levels=6)
            ax.tick_params(labelleft=False, labelbottom=False)
            ax.set_title(style.break_label(name), size=8.5, pad=3)
            path = here[here["optimizer"] == name]
            _path(ax, path, plane, looks[name], width=1.1)
            _path(everything, path, plane, looks[name], width=1.3)
            if path.empty:
                ax.text(0.5, 0.5, "no path", transform=ax.transAxes, ha="center", va="center", size=8)
    figure.legend(
        handles=_keys(), loc="lower left", bbox_to_anchor=(_LEFT / figure.get_figwidth(), 0), ncols=3,
        borderaxespad=0.3, handlelength=1.2,
    )  # fmt: skip
    return figure, drawn


def _blocks(title: str, subtitle: str, panels: int, small: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure with, for each panel, a large axes and `small` small ones in rows to its right."""
    in_row = min(-(-small // 2), _ROW) or 1
    rows = max(-(-small // in_row), 2)
    height = rows * _SMALL[1] + (rows - 1) * _DOWN
    block = height + _BETWEEN
    total = (
        _LEFT + _LARGE + 0.35 + in_row * (_SMALL[0] + _ACROSS),
        _TOP + panels * block + _BOTTOM,
    )
    figure = style.make_figure(total, title, subtitle)
    blocks = []
    for index in range(panels):
        top = total[1] - _TOP - index * block
        places = [(_LEFT, top - height, _LARGE, height)]
        for place in range(small):
            row, column = divmod(place, in_row)
            left = _LEFT + _LARGE + 0.35 + column * (_SMALL[0] + _ACROSS)
            places.append((left, top - (row + 1) * _SMALL[1] - row * _DOWN, *_SMALL))
        blocks.append([style.add_axes(figure, place) for place in places])
    return figure, blocks


def _ground(ax: Axes, plane: Plane, x: np.ndarray, y: np.ndarray, value: np.ndarray, levels: int) -> None:
    """Draws the contours of the function over the domain, its start and its minimum."""
    excess = value - value.min()
    positive = excess[excess > 0]
    if len(positive):
        # The lowest level encloses a thousandth of the domain: lower ones would be too small to see.
        low, high = np.quantile(positive, 0.001), positive.max()
        steps = np.geomspace(low, high, levels + 1)[:-1] if low < high else [low]
        ax.contour(x, y, excess, levels=steps, colors=style.GRID, linewidths=0.7, linestyles="solid", zorder=0)
    ax.set(xlim=plane.domain[0], ylim=plane.domain[1])
    ax.grid(visible=False)
    ax.tick_params(labelsize=8)
    ax.locator_params(nbins=5)
    ax.plot(*plane.start, "o", markerfacecolor=style.PAPER, markeredgecolor=style.INK, markersize=5, zorder=6)
    ax.plot(*plane.minimum, "*", color=style.INK, markeredgecolor=style.PAPER, markersize=10, zorder=6)


def _path(ax: Axes, path: pd.DataFrame, plane: Plane, look: style.Look, width: float) -> None:
    """Draws the path and a mark at its last point inside the domain."""
    if path.empty:
        return
    (left, right), (bottom, top) = plane.domain
    # Points far outside are invisible, but their coordinates may be too large for a renderer.
    x = path["x"].clip(left - (right - left), right + (right - left))
    y = path["y"].clip(bottom - (top - bottom), top + (top - bottom))
    ax.plot(x, y, color=look.color, linestyle=look.dash, linewidth=width, zorder=3)
    inside = (x.between(left, right) & y.between(bottom, top)).to_numpy()
    if inside.any():
        last = np.flatnonzero(inside)[-1]
        failed = path["status"].iloc[-1] != "ok"
        ax.plot(
            x.iloc[last], y.iloc[last], marker="X" if failed else look.marker, color=look.color,
            markersize=8 if failed else 5.5, markeredgecolor=style.PAPER, markeredgewidth=0.6, zorder=7,
        )  # fmt: skip


def _keys() -> list[Line2D]:
    ink: dict[str, Any] = {"color": style.INK, "linestyle": ""}
    return [
        Line2D([], [], marker="o", markerfacecolor=style.PAPER, label="start", **ink),
        Line2D([], [], marker="*", markersize=10, label="minimum", **ink),
        Line2D([], [], marker="X", markersize=7, label="failed", **ink),
    ]
