"""What failed on a problem, and how its loss went before it did."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optbench.formatting import significant
from optbench.plots import style

_TRAINING = ["kind", "trial", "seed", "tuned"]
_CELL = ["optimizer", "batch_size", "device", "schedule"]
#: Losses beyond this multiple of the initial one are out of sight.
_HIGHEST = 1e6
#: Width and height of a label, in points: crosses closer than this share one.
_LABEL = np.array([36.0, 9.0])


@mpl.rc_context(style.RC)
def failures(
    table: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, problem: str
) -> tuple[Figure, pd.DataFrame]:
    """The validation loss, as a multiple of the initial one, of every training that failed, up to a cross at its end.

    `table` is the frame of `metrics.failures`. One panel per batch size, device and schedule; a thick line is a run,
    a thin one a trial, with its learning rate. Returns the figure and the points drawn. Raises NothingToDraw
    where nothing failed, or nothing that failed has a curve (then with the causes).
    """
    failed = table[table["problem"] == problem]
    if failed.empty:
        raise style.NothingToDraw("nothing failed")
    own = curves[(curves["problem"] == problem) & (curves["status"] != "ok")]
    points = own.merge(failed[[*_CELL, *_TRAINING]], on=[*_CELL, *_TRAINING])
    if points.empty:
        causes = [f"{name}: {status}" for name, status in zip(failed["optimizer"], failed["status"], strict=True)]
        raise style.NothingToDraw(f"what failed has no curve ({', '.join(causes)})")
    points = _relative(points)
    looks = style.looks(cells["optimizer"])
    panels = [part for part in style.parts(cells[cells["problem"] == problem]) if len(style.within(points, part[1]))]
    counts = [f"{number} {kind}{'s' * (number != 1)}" for kind, number in failed["kind"].value_counts().items()]
    figure, axes = style.sheet(
        problem,
        f"trainings that failed: {', '.join(counts)}; thick: runs, thin: trials, each with its learning rate",
        len(panels),
        [style.key(looks[name], name) for name in sorted(points["optimizer"].unique())],
    )
    for ax, (title, values) in zip(axes, panels, strict=True):
        ax.set(title=title, xlabel="cost (example gradients)")
        for _, curve in style.within(points, values).groupby(["cell_id", *_TRAINING], sort=True):
            _curve(ax, curve, looks[str(curve["optimizer"].iloc[0])])
        style.cost_ticks(ax.xaxis)
    known = points["relative_loss"][np.isfinite(points["relative_loss"])]
    if len(known) and (known > 0).all():
        for ax in axes:
            ax.set(yscale="log", ylim=(min(known.min() / 1.2, 0.5), max(known.max() * 1.8, 2.0)))
            style.plain_ticks(ax.yaxis, *ax.get_ylim())
    for ax, (_, values) in zip(axes, panels, strict=True):
        _rates(ax, style.within(points, values))
    axes[0].set_ylabel("loss / initial loss")
    return figure, points[[*_CELL, *_TRAINING, "lr", "status", "step", "cost", "valid_loss", "relative_loss"]]


def _relative(points: pd.DataFrame) -> pd.DataFrame:
    """The points in order of step, with their loss as a multiple of the first of each training."""
    points = points.sort_values([*_CELL, *_TRAINING, "step"], kind="stable", ignore_index=True)
    first = points.groupby(["cell_id", *_TRAINING], sort=False)["valid_loss"].transform("first")
    return points.assign(relative_loss=(points["valid_loss"] / first.where(first != 0)).clip(upper=_HIGHEST))


def _curve(ax: Axes, curve: pd.DataFrame, look: style.Look) -> None:
    """One training up to its cross; dotted where the loss was no number any more."""
    known = curve[np.isfinite(curve["relative_loss"])]
    end, height = _end(curve)
    thick = curve["kind"].iloc[0] == "run"
    ax.plot(known["cost"], known["relative_loss"], color=look.color, linestyle=look.dash, linewidth=2 if thick else 1)
    if len(known):
        ax.plot([known["cost"].iloc[-1], end], [height, height], color=look.color, linestyle=style.DOTTED, linewidth=1)
    ax.plot(end, height, "X", color=look.color, markersize=8, markeredgecolor=style.PAPER, clip_on=False, zorder=4)


def _end(curve: pd.DataFrame) -> tuple[float, float]:
    """Where its cross is: the cost at which it failed, and the last loss that was a number (relative)."""
    known = curve["relative_loss"][np.isfinite(curve["relative_loss"])]
    return float(curve["cost"].iloc[-1]), float(known.iloc[-1]) if len(known) else 1.0


def _rates(ax: Axes, points: pd.DataFrame) -> None:
    """The learning rate beside each cross; one label for all whose crosses are too close for one each."""
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
        shown = [significant(rate, 2, trim=True) for rate in known]
        text = ", ".join(shown) if len(shown) <= 3 else f"{shown[0]} to {shown[-1]} ({len(shown)})"
        ax.annotate(f"lr {text}", ends[first][0], (0, 6), textcoords="offset points", ha="right", size=7.5)
