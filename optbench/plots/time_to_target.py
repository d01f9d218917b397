"""The fraction of seeds that have reached a target, against cost: one minus the Kaplan-Meier estimate."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots import style
from optbench.statistics.survival import kaplan_meier

_CURVE = ["optimizer", "batch_size", "device", "schedule", "target_name"]


def success_curves(times: pd.DataFrame) -> pd.DataFrame:
    """The fraction of seeds at the target by cost, from 0 at the start to the end of the longest run.

    `times` is the frame of `time_to_target` for the compared runs. Cells with a run for which it is unknown whether it
    reached the target are left out. Columns: `_CURVE`, `target`, `cost`, `solved`.
    """
    frames = []
    for key, own in times.groupby(_CURVE, observed=True, sort=False):
        reached = own["reached"]
        at = own["cost_to_target"].where(reached.fillna(False).astype(bool), own["censored_at"]).astype(float)
        if reached.isna().any() or at.isna().any():
            continue
        curve = kaplan_meier(at.to_numpy(), reached.to_numpy(dtype=bool))
        end = float(own["censored_at"].max())
        end = curve.end if np.isnan(end) else max(end, curve.end)
        frames.append(pd.DataFrame({
            **dict(zip(_CURVE, key, strict=True)),
            "target": own["target"].iloc[0],
            "cost": [0.0, *curve.times, end],
            "solved": 1 - np.array([1.0, *curve.survival, *(curve.survival[-1:] if len(curve.times) else [1.0])]),
        }))  # fmt: skip
    return (
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*_CURVE, "target", "cost", "solved"])
    )


@mpl.rc_context(style.RC)
def time_to_target(times: pd.DataFrame, cells: pd.DataFrame, problem: str) -> tuple[Figure, pd.DataFrame]:
    """Draws one panel per batch size, device, schedule and target, with a mark where a seed reaches the target.

    Returns the figure and the frame of `success_curves`. Raises NothingToDraw for a problem without targets, or if for
    no cell it is known whether each seed reached a target.
    """
    looks = style.looks(cells["optimizer"])
    cells = cells[cells["problem"] == problem]
    times = times[times["problem"] == problem]
    if times.empty:
        raise style.NothingToDraw("this problem has no target, frozen or declared, or no run")
    drawn = success_curves(times)
    if drawn.empty:
        raise style.NothingToDraw("for no cell is it known whether each seed reached a target")
    parts = style.parts(cells)
    targets = drawn.drop_duplicates("target_name").set_index("target_name")["target"]
    names = [name for name in times["target_name"].astype(object).unique() if name in targets.index]
    metric = cells["metric_name"].dropna()
    figure, axes = style.sheet(
        problem,
        f"fraction of seeds whose validation {metric.iloc[0] if len(metric) else 'metric'} has met the target, "
        f"{style.describe_tuning(times['tuned'])}, {style.scope(cells)}",
        len(parts) * len(names),
        [style.key(looks[name], name) for name in sorted(cells["optimizer"].unique())],
        size=(2.6, 1.9),
        columns=len(names),
        titles=[f"{title}, {name}: {style.plain_number(float(targets[name]))}" for title, _ in parts for name in names],
    )
    end = drawn["cost"].max()
    for index, ax in enumerate(axes):
        (_, place), name = parts[index // len(names)], names[index % len(names)]
        ax.set(ylim=(-0.06, 1.09), xlim=(0, end * 1.02))
        style.cost_ticks(ax.xaxis)
        ax.set_yticks([0, 0.5, 1])
        own = style.select_rows(drawn, place | {"target_name": name})
        known = sorted(looks)
        for optimizer, line in own.groupby("optimizer"):
            look = looks[str(optimizer)]
            # Each curve is moved by less than the height of a seed, so that equal curves do not hide each other.
            lift = 0.05 * (known.index(str(optimizer)) / max(len(known) - 1, 1) - 0.5)
            ax.plot(line["cost"], line["solved"] + lift, color=look.color, linestyle=look.dash, linewidth=1.4,
                    drawstyle="steps-post", marker=look.marker, markersize=4,
                    markevery=list(range(1, len(line) - 1)))  # fmt: skip
        if index // len(names) == len(parts) - 1:
            ax.set_xlabel("cost (example gradients)")
        if index % len(names) == 0:
            ax.set_ylabel("fraction solved")
    return figure, drawn
