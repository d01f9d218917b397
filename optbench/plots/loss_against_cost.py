"""Validation loss against compute: how fast each optimizer learns, and its final loss."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from optbench.metrics.shared_costs import align_costs
from optbench.plots import style

#: The panel shows losses up to this multiple of the initial loss; a diverging loss may leave it.
_HEADROOM = {"log": 3.0, "linear": 1.2}


def median_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """The median over seeds of each cell's validation loss, at the costs of `align_costs`.

    Each seed counts with its latest evaluation, and with infinity after it diverged. If the median falls on an
    infinite value, it is NaN. Columns: cell_id optimizer batch_size device schedule cost valid_loss.
    """
    frames = []
    columns = ["cell_id", "optimizer", "batch_size", "device", "schedule"]
    for cell, group in curves.groupby(columns, sort=True):
        costs = align_costs(group)
        seeds = [_at(costs, seed) for _, seed in group.groupby("seed")]
        median = np.median(seeds, axis=0)
        median[~np.isfinite(median)] = math.nan
        where: dict[Any, Any] = dict(zip(columns, cell, strict=True))
        frames.append(pd.DataFrame({**where, "cost": costs, "valid_loss": median}))
    order = [*columns, "cost", "valid_loss"]
    return pd.concat(frames, ignore_index=True)[order] if frames else pd.DataFrame(columns=order)


def _at(costs: np.ndarray, seed: pd.DataFrame) -> np.ndarray:
    """The latest loss of one seed at these costs; infinity before its first evaluation and after it diverged."""
    seed = seed.sort_values("cost")
    at, loss = seed["cost"].to_numpy(dtype=float), seed["valid_loss"].to_numpy(dtype=float)
    loss = np.where(np.isfinite(loss), loss, math.inf)
    latest = np.searchsorted(at, costs, side="right") - 1
    values = np.where(latest < 0, math.inf, loss[np.maximum(latest, 0)])
    if (seed["status"] != "ok").any():
        values[costs > at[-1]] = math.inf
    return values


@mpl.rc_context(style.RC)
def loss_against_cost(curves: pd.DataFrame, cells: pd.DataFrame, problem: str) -> tuple[Figure, pd.DataFrame]:
    """Draws the median validation loss of the compared runs against cost, one panel per batch size, device and
    schedule.

    Thin lines are seeds, and a cross marks a run that failed. Returns the figure and the medians drawn (see
    `median_curves`).
    """
    looks = style.looks(cells["optimizer"])
    cells = cells[cells["problem"] == problem]
    runs = curves[(curves["problem"] == problem) & (curves["kind"] == "run")]
    tuned = style.select_tuned(runs)
    medians = median_curves(tuned)
    finite = tuned["valid_loss"][np.isfinite(tuned["valid_loss"])]
    scale = "log" if len(finite) and (finite > 0).all() else "linear"
    panels = style.parts(cells)
    seeds = tuned["seed"].nunique()
    figure, axes = style.sheet(
        problem,
        f"validation loss against compute: median of {seeds} seed{'s' * (seeds != 1)} (thin: each seed), "
        f"{style.describe_tuning(tuned['tuned'])}, {style.scope(cells)}",
        len(panels),
        [style.key(looks[name], name) for name in sorted(cells["optimizer"].unique())],
        titles=[title for title, _ in panels],
    )
    low, high = _limits(tuned, scale)
    for ax, (_, values) in zip(axes, panels, strict=True):
        ax.set(xlabel="cost (example gradients)", yscale=scale, ylim=(low, high))
        style.cost_ticks(ax.xaxis)
        if scale == "log":
            style.plain_ticks(ax.yaxis, *ax.get_ylim())
        _seeds(ax, style.select_rows(tuned, values), looks, high)
        for name, line in style.select_rows(medians, values).groupby("optimizer"):
            look = looks[str(name)]
            every = max(len(line) // 6, 1)
            ax.plot(
                line["cost"], line["valid_loss"], color=look.color, linestyle=look.dash, linewidth=1.8,
                marker=look.marker, markersize=4.5, markevery=(sorted(looks).index(str(name)) % every, every),
            )  # fmt: skip
    axes[0].set_ylabel("validation loss")
    return figure, medians


def _limits(tuned: pd.DataFrame, scale: str) -> tuple[float | None, float | None]:
    losses = tuned["valid_loss"][np.isfinite(tuned["valid_loss"])]
    if losses.empty:
        return None, None
    initial = tuned.loc[losses.index][tuned.loc[losses.index, "cost"] == 0]["valid_loss"].max()
    high = min(losses.max(), _HEADROOM[scale] * (losses.max() if math.isnan(initial) else initial))
    if scale == "log":
        return losses.min() * 0.85, high * 1.15
    margin = 0.05 * (high - losses.min() or 1.0)
    return losses.min() - margin, high + margin


def _seeds(ax: mpl.axes.Axes, tuned: pd.DataFrame, looks: dict[str, style.Look], high: float | None) -> None:
    """Draws each seed as a thin line, with a cross at the last finite loss of a seed that failed."""
    for name, group in tuned.groupby("optimizer"):
        color = looks[str(name)].color
        lines = []
        for _, seed in group.groupby(["cell_id", "seed"]):
            seed = seed[np.isfinite(seed["valid_loss"])].sort_values("cost")
            lines.append(seed[["cost", "valid_loss"]].to_numpy(dtype=float))
            if len(seed) and (seed["status"] != "ok").any():
                last = seed.iloc[-1]
                ax.plot(
                    last["cost"], min(last["valid_loss"], high or math.inf), marker="X", color=color,
                    markersize=9, markeredgecolor=style.PAPER, clip_on=False, zorder=5,
                )  # fmt: skip
        ax.add_collection(LineCollection(lines, colors=color, linewidths=0.6, alpha=0.45))
