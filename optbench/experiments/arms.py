"""Helpers for experiments that compare several settings (arms) of one problem: frames and drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis

from optbench import selection
from optbench.experiments.slide import COLORS, logarithmic
from optbench.plots import style
from optbench.statistics.intervals import t_interval


def with_parameters(frame: pd.DataFrame, **defaults: Any) -> pd.DataFrame:
    """A frame of results with parameters of its problems as columns, parsed from their labels.

    `defaults` names the parameters, with the values of those that a label does not contain. The value None becomes
    the text `"none"`.
    """
    parameters = {label: dict(selection.parse(label)[0].parameters) for label in frame["problem"].unique()}
    columns = {
        name: [_word(parameters[label].get(name, default)) for label in frame["problem"]]
        for name, default in defaults.items()
    }
    return frame.assign(**columns)


def _word(value: Any) -> Any:
    return "none" if value is None else value


def by_seed(frame: pd.DataFrame, value: str, arms: str = "arm") -> pd.DataFrame:
    """One row per seed and one column per arm. All arms have the same seeds, so that values are paired."""
    return frame.pivot(index="seed", columns=arms, values=value)


def run_curves(curves: pd.DataFrame, tuned: bool | None = None) -> pd.DataFrame:
    """The curves of final runs, sorted by run and step; with `tuned`, only those of tuned or untuned runs."""
    runs = curves[curves["kind"] == "run"]
    runs = runs if tuned is None else runs[runs["tuned"] == tuned]
    return runs.sort_values(["problem", "optimizer", "batch_size", "seed", "step"], kind="stable")


def seeds_text(frame: pd.DataFrame) -> str:
    """The number of seeds of a frame in words: `3 seeds`."""
    n = frame["seed"].nunique()
    return f"{n} seed" + ("s" if n != 1 else "")


def lines(
    ax: Axes, curves: pd.DataFrame, x: str, y: str, color: str, label: str, dash: Any = style.SOLID, **more: Any
) -> None:
    """Draws each seed as a thin line and their mean as a thick one, which ends where a seed has diverged."""
    wide = curves.pivot_table(index="step", columns="seed", values=y, dropna=False)
    places = curves.groupby("step")[x].mean()
    for seed in wide.columns:
        ax.plot(places, wide[seed], color=color, linewidth=0.7, alpha=0.45, linestyle=dash)
    mean = wide.mean(axis=1, skipna=False)
    ax.plot(places, mean, color=color, label=label, linestyle=dash, **more)


def fit_logarithmic(axis: XAxis | YAxis, values: Iterable[float]) -> None:
    """Makes an axis logarithmic with plain numbers; all positive finite values fit with a margin."""
    array = np.asarray(list(values), dtype=float)
    array = array[np.isfinite(array) & (array > 0)]
    low, high = (array.min(), array.max()) if len(array) else (1.0, 1.0)
    margin = max((high / low) ** 0.06, 1.05)
    logarithmic(axis, float(low / margin), float(high * margin))


def dots(
    ax: Axes, samples: Sequence[tuple[str, Iterable[float]]], colors: Sequence[str] = COLORS, rotation: float = 0
) -> None:
    """Draws each seed as a dot, and the mean of each arm as a bar with Student's 95 % interval.

    A failed run is not drawn, and its arm has no mean. `samples` are (label, values) pairs, one for each arm.
    """
    for place, (_, values) in enumerate(samples):
        array = np.asarray(list(values), dtype=float)
        color = colors[place % len(colors)]
        spread = np.linspace(-0.12, 0.12, len(array)) if len(array) > 1 else np.zeros(len(array))
        ax.plot(place + spread, array, "o", color=color, markersize=5, alpha=0.75, markeredgewidth=0, zorder=3)
        if np.isfinite(array).all() and len(array):
            low, high = t_interval(array)
            ax.plot([place - 0.25, place + 0.25], [array.mean()] * 2, color=color, linewidth=2.2, zorder=4)
            if not math.isnan(low):
                ax.plot([place, place], [low, high], color=color, linewidth=1.1, zorder=2)
    ax.set_xticks(range(len(samples)), [label for label, _ in samples], rotation=rotation)
    ax.set_xlim(-0.6, len(samples) - 0.4)
    ax.grid(visible=False, axis="x")
