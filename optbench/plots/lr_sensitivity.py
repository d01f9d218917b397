"""The final validation metric against the learning rate, which shows how much tuning an optimizer needs."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from optbench.plots import paper, style
from optbench.results.stored import STOPPED

#: Colours and markers of the batch sizes, in ascending order.
_COLORS = (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
_MARKERS = "os^Dv<"


@mpl.rc_context(style.RC)
def lr_sensitivity(
    trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame, problem: str
) -> tuple[Figure, pd.DataFrame]:
    """Draws the final validation metric of each trial at its learning rate, one panel per optimizer, device, schedule.

    Trials are connected in order of the rate. A trial that was stopped early is a small mark at the metric that it had
    then, a failed one is a cross at the worse edge of the panel, the default rate is a ring around trial 0, and the
    chosen rate is a vertical line, with the metrics of the fresh seeds as dashes across it. Rates outside the declared
    range are shaded. Returns the figure and the trials drawn: optimizer batch_size device schedule trial lr
    valid_metric status.
    """
    cells, trials, runs = (frame[frame["problem"] == problem] for frame in (cells, trials, runs))
    columns = ["optimizer", "batch_size", "device", "schedule", "trial", "lr", "valid_metric", "status"]
    drawn = trials.sort_values(["optimizer", "batch_size", "device", "schedule", "lr", "trial"])[columns]
    drawn = drawn.reset_index(drop=True)
    metric = str(cells["metric_name"].dropna().iloc[0]) if cells["metric_name"].notna().any() else "metric"
    higher = bool(cells["metric_higher_is_better"].dropna().all())
    values = drawn["valid_metric"][np.isfinite(drawn["valid_metric"])]
    scale = "log" if not higher and len(values) and (values > 0).all() else "linear"
    looks = {
        size: (_COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)])
        for index, size in enumerate(sorted(cells["batch_size"].unique()))
    }
    columns = ["optimizer", "device", "schedule"]
    panels = cells[columns].drop_duplicates().sort_values(columns).to_dict("records")
    several = [name for name in ("device", "schedule") if cells[name].nunique() > 1]
    figure, axes = style.sheet(
        problem,
        f"final validation {metric} against learning rate, {style.scope(cells)}",
        len(panels),
        [
            *(_key(color, marker, f"batch {size}") for size, (color, marker) in looks.items()),
            *_keys(STOPPED in set(drawn["status"])),
        ],
        size=(1.75, 1.6),
        columns=5,
        titles=[", ".join([str(panel["optimizer"]), *(str(panel[name]) for name in several)]) for panel in panels],
    )
    figure.supxlabel("learning rate", size=9.5, y=0.1 / figure.get_figheight(), va="bottom", label=paper.X_LABEL)
    figure.supylabel(f"validation {metric}", size=9.5, x=0.08 / figure.get_figwidth(), ha="left", label=paper.Y_LABEL)
    limits = _limits(values, scale)
    for ax, panel in zip(axes, panels, strict=True):
        ax.set(yscale=scale, xscale="log", ylim=limits)
        if scale == "log":
            style.plain_ticks(ax.yaxis, *ax.get_ylim())
        here = style.select_rows(cells, panel)
        _range(ax, here, style.select_rows(drawn, panel))
        for size, (color, marker) in looks.items():
            only = panel | {"batch_size": size}
            _trials(ax, style.select_rows(drawn, only), color, marker, 0.97 if not higher else 0.03)
            _choice(ax, style.select_rows(here, only), style.select_rows(runs, only), color)
    return figure, drawn


#: The longest logarithmic axis, as a ratio.
_DECADES = 1e12


def _limits(values: pd.Series, scale: str) -> tuple[float | None, float | None]:
    """The limits of the y axis: all values are visible, including outliers on a linear axis."""
    if values.empty:
        return None, None
    low, high = float(values.min()), float(values.max())
    if scale == "log":
        high = min(high, low * _DECADES)  # larger values, of a trial that was about to diverge, are outside the panel
        room = max(high / low, 1.5) ** 0.12
        return low / room, high * room
    room = 0.12 * (high - low) or 0.1
    return low - room, high + room


def _trials(ax: Axes, trials: pd.DataFrame, color: str, marker: str, edge: float) -> None:
    done = trials[np.isfinite(trials["valid_metric"]) & (trials["status"] == "ok")]
    stopped = trials[np.isfinite(trials["valid_metric"]) & (trials["status"] == STOPPED)]
    lost = trials[~trials.index.isin(done.index) & ~trials.index.isin(stopped.index)]
    ax.plot(done["lr"], done["valid_metric"], color=color, marker=marker, markersize=3.5, linewidth=0.9)
    ax.plot(stopped["lr"], stopped["valid_metric"], marker, color=color, markersize=2.5, alpha=0.5, markeredgewidth=0)
    across = ax.get_xaxis_transform()
    ax.plot(lost["lr"], [edge] * len(lost), "x", color=color, markersize=5, transform=across, zorder=4)
    first = trials[trials["trial"] == 0]
    at = first["valid_metric"].where(~first.index.isin(lost.index))
    ring: dict[str, Any] = {
        "marker": "o",
        "markerfacecolor": "none",
        "markeredgecolor": style.INK,
        "markersize": 9,
        "linestyle": "",
    }
    ax.plot(first["lr"], at, zorder=5, **ring)
    failed = first[first.index.isin(lost.index)]
    ax.plot(failed["lr"], [edge] * len(failed), transform=across, zorder=5, **ring)


def _choice(ax: Axes, cells: pd.DataFrame, runs: pd.DataFrame, color: str) -> None:
    for lr in cells["lr_tuned"].dropna():
        ax.axvline(lr, color=color, linewidth=1.1, linestyle=style.DASHED, zorder=1)
    fresh = runs[runs["tuned"].astype(bool) & (runs["status"] == "ok")]
    ax.plot(fresh["lr"], fresh["valid_metric"], "_", color=color, markersize=9, markeredgewidth=1.4, zorder=4)


def _range(ax: Axes, cells: pd.DataFrame, trials: pd.DataFrame) -> None:
    """Shades rates outside the declared range, and limits the axis to the searched rates."""
    low, high = cells["lr_low"].min(), cells["lr_high"].max()
    names = ["lr_low", "lr_high", "lr_low_searched", "lr_high_searched", "lr_default", "lr_tuned"]
    rates = pd.concat([trials["lr"], *(cells[name] for name in names)]).dropna()
    rates = rates[rates > 0]
    if rates.empty:
        return
    left, right = rates.min() / 1.3, rates.max() * 1.3
    ax.set_xlim(left, right)
    # An optimizer with a fixed rate declares no range: both are NaN.
    for start, end in ((left, low), (high, right)):
        if start < end:
            ax.axvspan(start, end, color=style.GRID, alpha=0.6, linewidth=0, zorder=0)
    # Few enough decades to be readable, and none so close to a corner that it touches the label of the next panel.
    decades = np.arange(math.ceil(math.log10(left) + 0.4), math.floor(math.log10(right) - 0.4) + 1)
    ax.xaxis.set_major_locator(FixedLocator((10.0 ** decades[:: 2 if len(decades) > 2 else 1]).tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(style.plain_number))


def _key(color: str, marker: str, label: str, **more: Any) -> Line2D:
    return Line2D([], [], color=color, marker=marker, markersize=5, label=label, **more)


def _keys(stopped: bool) -> list[Line2D]:
    return [
        Line2D([], [], color=style.INK, linestyle=style.DASHED, linewidth=1.1, label="chosen rate"),
        _key(style.INK, "_", "final runs", linestyle="", markeredgewidth=1.4),
        _key(style.INK, "o", "default rate", linestyle="", markerfacecolor="none"),
        _key(style.INK, "x", "failed", linestyle=""),
        *(
            [Line2D([], [], color=style.INK, marker=".", markersize=4, alpha=0.5, linestyle="", label="stopped early")]
            if stopped
            else []
        ),
        Line2D([], [], color=style.GRID, linewidth=7, alpha=0.6, label="outside declared range"),
    ]
