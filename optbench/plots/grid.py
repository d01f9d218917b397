"""A grid of optimizers by tasks (problem, batch size, device, schedule), used by the plots of verdicts and audit."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from optbench.plots import style
from optbench.results.stored import GROUP

_COLUMN, _ROW, _HEAD = 1.05, 0.38, 0.17
#: Characters of a heading per inch.
_DENSITY = 13


def grid(
    cells: pd.DataFrame, names: Sequence[str], title: str, subtitle: str, legend: Sequence[Patch]
) -> tuple[Figure, Axes, list[tuple[Any, ...]]]:
    """Draws an empty grid with a row for each of `names`, from the top, and a column for each task of `cells`.

    Returns:
        The figure; its axes, in which column i spans i to i + 1 and row j spans j to j + 1; and the tasks in the
        order of the columns, each as the values of `GROUP`.
    """
    tasks = cells[GROUP].drop_duplicates().sort_values(GROUP)
    several = [name for name in ("device", "schedule") if tasks[name].nunique() > 1]
    heads = [
        (str(problem), list(part.itertuples(index=False, name=None))) for problem, part in tasks.groupby("problem")
    ]
    columns = [task for _, part in heads for task in part]
    headings = [_heading(task, several) for task in columns]
    lines = [heading.split("\n") for heading in headings]
    column = max(_COLUMN, 0.1 + max((len(line) for heading in lines for line in heading), default=0) / _DENSITY)
    below = max(map(len, lines), default=1)
    wrapped = [textwrap.wrap(name.replace(",", ", "), int(_DENSITY * column * len(part))) for name, part in heads]
    left = 0.3 + 0.082 * max(map(len, names), default=5)
    top = 0.7 + _HEAD * (max(map(len, wrapped), default=1) + below)
    width, height = max(len(tasks), 1) * column, max(len(names), 1) * _ROW
    figure = style.make_figure((left + width + 0.2, top + height + 0.4), title, subtitle)
    ax = style.add_axes(figure, (left, 0.4, width, height))
    ax.set(xlim=(0, max(len(tasks), 1)), ylim=(max(len(names), 1), 0))
    ax.set_xticks(np.arange(len(columns)) + 0.5, headings, size=8.5)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.set_yticks(np.arange(len(names)) + 0.5, names)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    start = 0
    for words, (_, part) in zip(wrapped, heads, strict=True):
        ax.annotate(
            "\n".join(words), (start + len(part) / 2, 0), (0, 6 + 12 * below), textcoords="offset points",
            ha="center", va="bottom", size=8.5, weight="bold", annotation_clip=False,
        )  # fmt: skip
        if start:
            ax.axvline(start, color=style.INK, linewidth=0.7)
        start += len(part)
    if legend:
        figure.legend(handles=list(legend), loc="lower left", ncols=len(legend), fontsize=8.5,
                      bbox_to_anchor=(0.1 / figure.get_figwidth(), 0.02), borderaxespad=0)  # fmt: skip
    return figure, ax, columns


def _heading(task: tuple[Any, ...], several: list[str]) -> str:
    values = dict(zip(GROUP, task, strict=True))
    names = (style.wrap_label(str(values[name]), 14) for name in several)
    return "\n".join([f"batch {values['batch_size']}", *names])


def fill(ax: Axes, column: int, line: int, color: str, text: str) -> None:
    """Fills one field of the grid; the colour is light, so that the text is readable on light and dark pages."""
    ax.add_patch(Rectangle((column + 0.02, line + 0.04), 0.96, 0.92, facecolor=color, alpha=0.3, linewidth=0))
    ax.text(column + 0.5, line + 0.5, text, ha="center", va="center", size=7.5, color=style.INK, linespacing=1.05)


def patch(color: str, label: str) -> Patch:
    """An entry of the grid's legend."""
    return Patch(facecolor=color, alpha=0.3, linewidth=0, label=label)


def fields(
    table: pd.DataFrame, names: Sequence[str], columns: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, int, dict[Any, Any]]]:
    """The rows of a table with the columns of `GROUP` and `optimizer`, each with its column and row in the grid."""
    across, down = (
        {task: index for index, task in enumerate(columns)},
        {name: index for index, name in enumerate(names)},
    )
    for row in table.to_dict("records"):
        task = tuple(row[name] for name in GROUP)
        if task in across and row["optimizer"] in down:
            yield across[task], down[row["optimizer"]], row
