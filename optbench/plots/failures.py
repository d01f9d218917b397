"""The trainings that failed on a problem, with their loss before the failure."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optbench.formatting import format_number
from optbench.plots import style

_TRAINING = ["kind", "trial", "seed", "tuned"]
_CELL = ["optimizer", "batch_size", "device", "schedule"]
#: Losses are drawn up to this multiple of the initial loss.
_HIGHEST = 1e6
#: Width and height of a label, in points; crosses that are closer than this share a label.
_LABEL = np.array([36.0, 9.0])


@mpl.rc_context(style.RC)
def failures(
    table: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, problem: str
) -> tuple[Figure, pd.DataFrame]:
    """Draws the validation loss of every failed training, relative to its initial loss, up to a cross at its end.

    There is one panel per batch size, device and schedule. Thick lines are runs and thin lines trials, each with its
    learning rate. `table` is the frame of `metrics.failures`. Returns the figure and the points drawn. Raises
    NothingToDraw if nothing failed, or (with the causes) if no failure has a curve.
    """
    failed = table[table["problem"] == problem]
    if failed.empty:
        raise style.NothingToDraw("nothing failed")
    own = curves[(curves["problem"] == problem) & (curves["status"] != "ok")]
    points = own.merge(failed[[*_CELL, *_TRAINING]], on=[*_CELL, *_TRAINING])
    if points.empty:
        causes = [f"{name}: {status}" for name, status in zip(failed["optimizer"], failed["status"], strict=True)]
        raise style.NothingToDraw(f"the failures have no curves ({', '.join(causes)})")
    points = _relative(points)
    looks = style.looks(cells["optimizer"])
    panels = [
        part for part in style.parts(cells[cells["problem"] == problem]) if len(style.select_rows(points, part[1]))
    ]
    counts = [f"{number} {kind}{'s' * (number != 1)}" for kind, number in failed["kind"].value_counts().items()]
    figure, axes = style.sheet(
        problem,
        f"failed trainings: {', '.join(counts)}; thick: runs, thin: trials, each with its learning rate",
        len(panels),
        [style.key(looks[name], name) for name in sorted(points["optimizer"].unique())],
        titles=[title for title, _ in panels],
    )
    for ax, (_, values) in zip(axes, panels, strict=True):
        ax.set(xlabel="cost (example gradients)")
        for _, curve in style.select_rows(points, values).groupby(["cell_id", *_TRAINING], sort=True):
            _curve(ax, curve, looks[str(curve["optimizer"].iloc[0])])
        style.cost_ticks(ax.xaxis)
    known = points["relative_loss"][np.isfinite(points["relative_loss"])]
    if len(known) and (known > 0).all():
        for ax in axes:
            ax.set(yscale="log", ylim=(min(known.min() / 1.2, 0.5), max(known.max() * 1.8, 2.0)))
            style.plain_ticks(ax.yaxis, *ax.get_ylim())
    for ax, (_, values) in zip(axes, panels, strict=True):
        _rates(ax, style.select_rows(points, values))
    axes[0].set_ylabel("loss / initial loss")
    return figure, points[[*_CELL, *_TRAINING, "lr", "status", "step", "cost", "valid_loss", "relative_loss"]]


def _relative(points: pd.DataFrame) -> pd.DataFrame:
    """The points in order of step, with their loss as a multiple of the first loss of the training."""
    points = points.sort_values([*_CELL, *_TRAINING, "step"], kind="stable", ignore_index=True)
    first = points.groupby(["cell_id", *_TRAINING], sort=False)["valid_loss"].transform("first")
    return points.assign(relative_loss=(points["valid_loss"] / first.where(first != 0)).clip(upper=_HIGHEST))


def _curve(ax: Axes, curve: pd.DataFrame, look: style.Look) -> None:
    """Draws one training up to its cross; dotted where the loss was no longer finite."""
    known = curve[np.isfinite(curve["relative_loss"])]
    end, height = _end(curve)
    thick = curve["kind"].iloc[0] == "run"
    ax.plot(known["cost"], known["relative_loss"], color=look.color, linestyle=look.dash, linewidth=2 if thick else 1)
    if len(known):
        ax.plot([known["cost"].iloc[-1], end], [height, height], color=look.color, linestyle=style.DOTTED, linewidth=1)
    ax.plot(end, height, "X", color=look.color, markersize=8, markeredgecolor=style.PAPER, clip_on=False, zorder=4)


def _end(curve: pd.DataFrame) -> tuple[float, float]:
    """The place of its cross: the cost at which it failed, and its last finite relative loss."""
    known = curve["relative_loss"][np.isfinite(curve["relative_loss"])]
    return float(curve["cost"].iloc[-1]), float(known.iloc[-1]) if len(known) else 1.0


def _rates(ax: Axes, points: pd.DataFrame) -> None:
    """Writes the learning rate next to each cross; crosses that are too close share a label."""
    ends = [
        (_end(curve), float(curve["lr"].iloc[0])) for _, curve in points.groupby(["cell_id", *_TRAINING], sort=True)
    ]
    places = ax.transData.transform([end for end, _ in ends]) * 72 / ax.figure.dpi
    labels: list[tuple[int, set[float]]] = []
    for index, (_, rate) in enumerate(ends):
        for first, rates in labels:
            if (np.abs(places[index] - places[first]) < _LABEL).all():
                rates.add(rate)
                break
        else:
            labels.append((index, {rate}))
    for first, rates in labels:
        known = sorted(rates)
        shown = [format_number(rate, 2, trim=True) for rate in known]
        text = ", ".join(shown) if len(shown) <= 3 else f"{shown[0]} to {shown[-1]} ({len(shown)})"
        ax.annotate(f"lr {text}", ends[first][0], (0, 6), textcoords="offset points", ha="right", size=7.5)
