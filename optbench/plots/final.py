"""The final results of the tuned runs: each seed, the median, and from ten seeds on the interval of the mean."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optbench.metrics.compared import ENOUGH_FOR_INTERVALS, drop_copied_runs, merge_ties, select_runs
from optbench.plots import style
from optbench.results.stored import CELL

#: Thickness of an interval in points: larger than a mark, which lies on it.
_BAR = 10


def final_metric(
    table: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame, problem: str
) -> tuple[Figure, pd.DataFrame]:
    """Draws the test metric: one panel per batch size, device and schedule, one row per optimizer.

    `table` is the frame of `metrics.final.final_metric`. A dot is a seed and a vertical dash the median. From ten
    seeds on, a bar shows the t-interval of the mean. Failed seeds are counted at the right. Returns the figure and the
    rows of the table that it draws. Raises NothingToDraw if no run has finished.
    """
    here = cells[cells["problem"] == problem]["metric_name"].dropna()
    return _final(table, runs, cells, problem, "test_metric", str(here.iloc[0]) if len(here) else "metric")


def final_loss(
    table: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame, problem: str
) -> tuple[Figure, pd.DataFrame]:
    """Draws the test loss in the same way as `final_metric` draws the test metric."""
    return _final(table, runs, cells, problem, "test_loss", "loss")


@mpl.rc_context(style.RC)
def _final(
    table: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame, problem: str, column: str, what: str
) -> tuple[Figure, pd.DataFrame]:
    looks = style.looks(cells["optimizer"])
    cells = cells[cells["problem"] == problem]
    runs = drop_copied_runs(select_runs(runs[runs["problem"] == problem], cells))
    own = table[table["problem"] == problem].merge(runs[[*CELL, "tuned"]].drop_duplicates(), on=[*CELL, "tuned"])
    if own.empty:
        raise style.NothingToDraw("no run has finished")
    names = _order(own, cells, column)
    panels = style.parts(cells)
    values = runs[column].astype(float)[np.isfinite(runs[column].astype(float))]
    figure, axes = style.sheet(
        problem,
        f"test {what} after the last step: each seed, {style.describe_tuning(own['tuned'])}, {style.scope(cells)}",
        len(panels),
        _keys(own),
        size=(2.6, 0.3 * len(names) + 0.2),
        labels=names,
        titles=[title for title, _ in panels],
    )
    scale = "log" if column == "test_loss" or not _higher(cells) else "linear"
    scale = scale if len(values) and (values > 0).all() else "linear"
    for ax, (_, place) in zip(axes, panels, strict=True):
        ax.set(xlabel=f"test {what}", xscale=scale, ylim=(len(names) - 0.4, -0.6))
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(axis="y", length=0)
        for line, name in enumerate(names):
            cell = style.select_rows(own, place | {"optimizer": name})
            seeds = style.select_rows(runs, place | {"optimizer": name})
            _line(ax, line, looks[name], cell, seeds[column].where(seeds["status"] == "ok").dropna())
        if scale == "log":
            style.plain_ticks(ax.xaxis, *ax.get_xlim())
    limits = [limit for ax in axes for limit in ax.get_xlim()]
    for ax in axes:
        ax.set_xlim(min(limits), max(limits))
        if scale == "log":
            style.plain_ticks(ax.xaxis, *ax.get_xlim())
    return figure, own.reset_index(drop=True)


def _line(ax: Axes, line: int, look: style.Look, cell: pd.DataFrame, seeds: pd.Series) -> None:
    if cell.empty:
        return
    row = cell.iloc[0]
    if row["n_seeds"] >= ENOUGH_FOR_INTERVALS and np.isfinite(row["mean_low"]):
        ax.plot([row["mean_low"], row["mean_high"]], [line, line], color=look.color, linewidth=_BAR, alpha=0.3,
                solid_capstyle="butt")  # fmt: skip
    ax.plot(seeds, np.full(len(seeds), line), look.marker, color=look.color, markersize=4.5, alpha=0.7, linestyle="")
    ax.plot([row["median"]], [line], "|", color=look.color, markersize=13, markeredgewidth=2)
    lost = int(row["n_seeds"] - row["n_ok"])
    if lost:
        ax.text(0.99, line, f"{lost} of {row['n_seeds']} failed", transform=ax.get_yaxis_transform(), ha="right",
                va="center", size=7.5, color=style.INK)  # fmt: skip


def _order(own: pd.DataFrame, cells: pd.DataFrame, column: str) -> list[str]:
    """The optimizers by the mean over panels of the rank of their median, best first and failures last."""
    ascending = column == "test_loss" or not _higher(cells)
    task = [own[name] for name in ("batch_size", "device", "schedule")]
    ranks = merge_ties(own["median"], task).groupby(task).rank(ascending=ascending, na_option="bottom")
    return [str(name) for name in ranks.groupby(own["optimizer"]).mean().sort_values(kind="stable").index]


def _higher(cells: pd.DataFrame) -> bool:
    return bool(cells["metric_higher_is_better"].dropna().all())


def _keys(own: pd.DataFrame) -> list[Line2D]:
    keys = [
        Line2D([], [], color=style.INK, marker="o", linestyle="", markersize=4.5, alpha=0.7, label="seed"),
        Line2D([], [], color=style.INK, marker="|", linestyle="", markersize=12, markeredgewidth=2, label="median"),
    ]
    if (own["n_seeds"] >= ENOUGH_FOR_INTERVALS).any():
        keys.append(Line2D([], [], color=style.INK, linewidth=_BAR, alpha=0.3, label="95 % interval of the mean"))
    return keys
