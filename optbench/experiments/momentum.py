"""Momentum, u ← γu + ηg, w ← w − u: through local barriers, down a slope, along a narrow valley.

On a constant gradient u tends to ηg/(1 − γ). In a valley each eigendirection follows
w₊ = (1 + γ − ηλ) w − γ w₋, whose solutions shrink by √γ a step wherever (1 − √(ηλ))² < γ, so also at rates at which
gradient descent, which multiplies by 1 − ηλ, diverges (Polyak 1964).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.experiments import planes
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import RC, contours, heading, logarithmic, path, slide
from optbench.experiments.verdict import Measurement, around, estimate, exact
from optbench.plots import style
from optbench.selection import format_value

SLOPE = "optbench.experiments.slope:Slope"
#: Ripple of the function with barriers, and the rate on it as a fraction of 1/L: small enough that gradient descent
#: never goes uphill.
RIPPLE, _BARRIER_RATE = 0.5, 0.1
#: Curvature of the valley, and the rate on it in units of 1/L: beyond 2/L, where gradient descent diverges.
CURVATURE, _VALLEY_RATE = 100.0, 2.5
_SLOPE_RATE, _SLOPE_STEPS, _VALLEY_STEPS = 0.01, 300, 200
#: The relative tolerances: for the step, which has not quite reached its limit, and for the decay, which depends on the
#: phase of the oscillation at the end of the path.
_LIMIT, _DECAY = 1e-3, 0.01


def _pair(momentum: float, rate: float) -> list[str]:
    lr = format_value(rate)
    return [f"sgd[lr={lr}]", f"momentum[momentum={format_value(momentum)},lr={lr}]"]


def _rastrigin(x: float, y: float) -> str:
    return f"rastrigin[ripple={format_value(RIPPLE)},x={format_value(x)},y={format_value(y)}]"


def starts(side: int) -> list[tuple[float, float]]:
    """A grid of starts, none on an axis of symmetry, from which gradient descent meets barriers."""
    places = np.linspace(1.2, 3.1, side)
    return [(round(float(x), 3), round(-float(y), 3)) for x in places for y in places]


def measure(setting: Setting) -> Tables:
    """End points from many starts (`barriers`), steps on a `slope` and in a `valley`, and `paths` from one start."""
    size = setting.size
    momentum, common = size["momentum"], planes.PLANE
    rate = _BARRIER_RATE / (2 + 4 * math.pi**2 * RIPPLE)
    over = setting.run(
        "barriers", **common, run_budget=f"{size['steps']}examples", optimizers=_pair(momentum, rate),
        problems=[_rastrigin(*start) for start in starts(size["starts"])],
    )  # fmt: skip
    ends = over.trajectories.sort_values("step").groupby(["problem", "optimizer"], sort=False)[["x", "y"]]
    barriers = ends.last().join(ends.first().add_suffix("_start")).reset_index()
    for axis in "xy":
        barriers[f"crossed_{axis}"] = [
            count_barriers(*pair) for pair in zip(barriers[f"{axis}_start"], barriers[axis], strict=True)
        ]
    shown = over.cells["problem"].iloc[-1]
    slope = setting.run("slope", **common, run_budget=f"{_SLOPE_STEPS}examples", problems=[SLOPE],
                        optimizers=_pair(momentum, _SLOPE_RATE))  # fmt: skip
    valley = setting.run(
        "valley", **common, run_budget=f"{_VALLEY_STEPS}examples", optimizers=_pair(momentum, _VALLEY_RATE / CURVATURE),
        problems=[f"quadratic_valley[condition={format_value(CURVATURE)},examples=1,noise=0]"],
    )  # fmt: skip
    named = {"momentum": momentum}
    return {
        "barriers": barriers,
        "slope": planes.paths(slope, slope.cells["problem"].iloc[0]).assign(**named),
        "valley": planes.paths(valley, valley.cells["problem"].iloc[0]).assign(**named),
        "paths": planes.paths(over, shown),
        "ground": planes.ground(over, shown),
    }


def count_barriers(start: float, end: float) -> int:
    """The number of barriers between two points: the local maxima of w² + ripple (1 − cos 2πw)."""
    grid = np.linspace(min(start, end), max(start, end), 20_001)
    rising = np.diff(grid**2 + RIPPLE * (1 - np.cos(2 * np.pi * grid))) > 0
    return int((rising[:-1] & ~rising[1:]).sum())


def lectures_form(rate: float, momentum: float, curvatures: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    """The path of u ← γu + ηg, w ← w − u on ½ Σ λ w², by the lecture's formula, of shape (steps + 1, 2)."""
    w, u = start.astype(float), np.zeros_like(start, dtype=float)
    places = [w]
    for _ in range(steps):
        u = momentum * u + rate * curvatures * w
        w = w - u
        places.append(w)
    return np.array(places)


def decay_factor(points: np.ndarray, curvatures: np.ndarray) -> float:
    """The factor by which a step changes the error, from a line through its logarithm in the second half of a path."""
    energy = (curvatures * (points[1:] ** 2 + points[:-1] ** 2)).sum(axis=1)
    half = len(energy) // 2
    return float(np.exp(np.polyfit(np.arange(half, len(energy)), np.log(energy[half:]) / 2, 1)[0]))


def evaluate(tables: Tables) -> list[Measurement]:
    """Barriers crossed, speed on the slope, decay in the valley, and the difference from the lecture's form."""
    barriers = tables["barriers"]
    count = barriers.assign(crossed=barriers["crossed_x"] + barriers["crossed_y"])
    plain = count["optimizer"].str.startswith("sgd")
    descent, moved = (count[chosen].set_index("problem")["crossed"] for chosen in (plain, ~plain))
    slope, valley = tables["slope"], tables["valley"]
    gamma = float(slope["momentum"].iloc[0])
    last = {name: steps["x"].diff().iloc[-1] for name, steps in slope.groupby(_is_plain(slope))}
    speed = float(last[False] / last[True])
    curvatures = np.array([1.0, CURVATURE])
    ways = {name: steps[["x", "y"]].to_numpy() for name, steps in valley.groupby(_is_plain(valley))}
    rate = float(valley["lr"].iloc[0])
    form = lectures_form(rate, gamma, curvatures, ways[False][0], len(ways[False]) - 1)
    plain_kept, decay = abs(1 - rate * CURVATURE), math.sqrt(gamma)
    return [
        exact("barriers crossed by gradient descent, at most", float(descent.max()), (0, 0), 0),
        estimate("further barriers crossed by momentum, mean over starts", moved - descent.loc[moved.index],
                 (0.1, math.inf)),
        exact("step on a constant gradient, times gradient descent's", speed, around(1 / (1 - gamma), _LIMIT),
              1 / (1 - gamma)),
        exact("oscillation kept by a step of gradient descent", decay_factor(ways[True], curvatures),
              around(plain_kept, _DECAY), plain_kept),
        exact("oscillation kept by a step of momentum", decay_factor(ways[False], curvatures),
              around(decay, _DECAY), decay),
        exact("largest difference of torch's form from the lecture's", float(np.abs(form - ways[False]).max()),
              (0, 1e-10), 0),
    ]  # fmt: skip


def _is_plain(frame: pd.DataFrame) -> pd.Series:
    return frame["optimizer"].str.startswith("sgd")


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the paths over the barriers, the steps on the slope, and the oscillation across the valley."""
    gamma = float(tables["slope"]["momentum"].iloc[0])
    names = {True: "gradient descent", False: f"momentum, γ = {gamma:g}"}
    colors = {True: style.INK, False: style.BLUE}
    starts_tried = tables["barriers"]["problem"].nunique()
    figure, (barriers, slope, valley) = slide(
        "Momentum passes barriers, speeds up on slopes, and damps oscillation in narrow valleys",
        f"plane functions without noise; both optimizers at the same rate; barriers from {starts_tried} starts",
        measurements, 3,
    )  # fmt: skip
    contours(barriers, tables["ground"], levels=10)
    for plain, points in tables["paths"].groupby(_is_plain(tables["paths"])):
        path(barriers, points, colors[bool(plain)], names[bool(plain)], zorder=3 + bool(plain))
        barriers.plot(
            points["x"].iloc[-1], points["y"].iloc[-1], "s", color=colors[bool(plain)], markersize=7, zorder=7
        )
    barriers.set(xlabel="x", ylabel="y", title=heading("Further barriers crossed, by start", measurements[1]))
    barriers.legend(loc="upper left", frameon=True, framealpha=0.9, edgecolor="none")
    for plain, points in tables["slope"].groupby(_is_plain(tables["slope"])):
        lengths = points["x"].diff() / points["lr"]
        slope.plot(points["step"].iloc[1:], lengths.iloc[1:], color=colors[bool(plain)], label=names[bool(plain)])
    slope.axhline(1 / (1 - gamma), color=style.VERMILLION, linestyle=style.DASHED, linewidth=1.2, label="1/(1 − γ)")
    slope.set(xlabel="step", ylabel="length of the step / (rate · gradient)", xlim=(0, min(8 / (1 - gamma), 300)))
    slope.set_title(heading("Steps on a constant gradient", measurements[2]))
    slope.legend(loc="center right")
    for plain, points in tables["valley"].groupby(_is_plain(tables["valley"])):
        valley.plot(
            points["step"], points["y"].abs().clip(1e-6, 1e4), color=colors[bool(plain)], label=names[bool(plain)]
        )
    steps = np.arange(int(tables["valley"]["step"].max()) + 1)
    valley.plot(steps, math.sqrt(gamma) ** steps, color=style.VERMILLION, linestyle=style.DASHED, linewidth=1.2,
                label="√γ per step")  # fmt: skip
    logarithmic(valley.yaxis, 1e-5, 1e3)
    valley.set(xlabel="step", ylabel="|y|, across the valley", xlim=(0, 150))
    valley.set_title(heading(f"At {_VALLEY_RATE:g}/L: kept by a step of momentum", measurements[4]))
    valley.legend(loc="upper right")
    return figure


EXPERIMENT = Experiment(
    name="momentum",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Left: paths from one start over a bowl with ripples. Gradient descent stops at the first local minimum; "
        "momentum passes it (squares: end points). Middle: on a constant gradient, the length of a step grows to "
        "1/(1 − γ) times that of gradient descent. Right: distance from the bottom of a valley at a rate beyond 2/L. "
        "The oscillation of gradient descent grows; that of momentum shrinks by √γ per step."
    ),
    limits={"momentum": (0.01, 0.99)},
    full={"momentum": 0.9, "starts": 8, "steps": 2000},
    quick={"starts": 3, "steps": 600},
)
