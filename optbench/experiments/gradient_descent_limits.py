"""Gradient descent in a narrow valley: the rate at which it diverges, and its slow progress along the valley.

On a quadratic function a step at the rate η multiplies the error in the direction of an eigenvalue λ by
1 − ηλ: it converges below η = 2/L with L the largest one (Nesterov 2004, section 1.2.3), and no faster than by
1 − η along the valley, where the eigenvalue is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.experiments import planes
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import COLORS, RC, contours, heading, logarithmic, path, slide
from optbench.experiments.verdict import Measurement, around, exact
from optbench.plots import style
from optbench.selection import format_value

#: Learning rates of the paths as fractions of 2/L: a slow one, the best one across the valley, one that zigzags, and
#: one that diverges.
SHARES = (0.05, 0.5, 0.95, 1.02)
#: The interval of rates in which the largest stable one is searched, as fractions of 2/L.
_AROUND = (0.9, 1.1)
#: The relative tolerances: of the middle of the two rates that bracket the largest stable one from 2/L, and of the
#: measured contraction along the valley from 1 − η, which is a mean over many steps in double precision.
_EDGE, _CONTRACTION = 0.01, 1e-9


def _valley(condition: float) -> str:
    return f"quadratic_valley[condition={format_value(condition)},examples=1,noise=0]"


def measure(setting: Setting) -> Tables:
    """`paths` at four rates, the `ground` below them, and the growth of the loss at rates around 2/L (`edges`)."""
    size = setting.size
    shown = size["condition"]
    rates = [share * 2 / shown for share in SHARES]
    common = planes.PLANE | {"run_budget": f"{size['steps']}examples"}
    run = setting.run(
        "paths", **common, problems=[_valley(shown)],
        optimizers=[f"sgd[lr=[{','.join(map(format_value, rates))}]]"],
    )  # fmt: skip
    label = run.cells["problem"].iloc[0]
    edges = [_edge(setting, condition, common) for condition in size["conditions"]]
    paths = planes.paths(run, label).assign(share=lambda table: table["lr"] * shown / 2)
    return {"edges": pd.concat(edges, ignore_index=True), "paths": paths, "ground": planes.ground(run, label)}


def _edge(setting: Setting, condition: float, common: dict[str, Any]) -> pd.DataFrame:
    """The loss at the end divided by that at the start, at rates around 2/L: condition lr share growth."""
    low, high = (share * 2 / condition for share in _AROUND)
    trials = setting.size["rates"]
    space = {"lr": {"low": low, "high": high, "scale": "linear"}}
    results = setting.run(
        f"edge-{condition:g}", **common | {"tuning_worth": trials + 1}, tuning_sampler="grid",
        problems=[_valley(condition)], optimizers=["probed"], optimizer={"probed": {"base": "sgd", "search": space}},
    )  # fmt: skip
    curves = results.curves[results.curves["kind"] == "trial"]
    curves = curves[(curves["lr"] >= low) & (curves["lr"] <= high)].sort_values("step")
    loss = curves.groupby("lr")["valid_loss"]  # of the same points as the training loss
    growth = (loss.last() / loss.first()).fillna(math.inf)
    return pd.DataFrame({
        "condition": condition, "lr": growth.index, "share": growth.index * condition / 2, "growth": growth.to_numpy(),
    })  # fmt: skip


def evaluate(tables: Tables) -> list[Measurement]:
    """The largest stable rate of each valley, and the contraction along the valley at the rate 1/L."""
    measurements = []
    for condition, rates in tables["edges"].groupby("condition"):
        stable = rates.loc[rates["growth"] < 1, "lr"].max()
        unstable = rates.loc[(rates["growth"] >= 1) & ~(rates["lr"] < stable), "lr"].min()
        edge = 2 / float(str(condition))
        name = f"largest stable rate, L = {condition:g}"
        measurements.append(Measurement(name, (stable + unstable) / 2, stable, unstable, around(edge, _EDGE), edge))
    middle = tables["paths"][np.isclose(tables["paths"]["share"], 0.5)]
    rate, x = middle["lr"].iloc[0], middle["x"].to_numpy()
    contraction = float((x[-1] / x[0]) ** (1 / (middle["step"].iloc[-1] - middle["step"].iloc[0])))
    name = "error along the valley kept by a step at 1/L"
    measurements.append(exact(name, contraction, around(1 - rate, _CONTRACTION), 1 - rate))
    return measurements


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the paths over the contours, the loss of each path, and the growth against the rate."""
    condition = float(2 * (tables["paths"]["share"] / tables["paths"]["lr"]).iloc[0])
    figure, (left, middle, right) = slide(
        "Gradient descent in a narrow valley: slow at small rates, divergent at large ones",
        f"½(x² + {condition:g} y²) without noise; the largest eigenvalue is L = {condition:g}", measurements, 3,
    )  # fmt: skip
    contours(left, tables["ground"])
    for color, (share, points) in zip(cycle(COLORS), tables["paths"].groupby("share"), strict=False):
        label = f"{share:.2f} · 2/L"
        path(left, points, color, label)
        loss = 0.5 * (points["x"] ** 2 + condition * points["y"] ** 2)
        middle.plot(points["step"], loss, color=color, label=label)
    left.set(xlabel="x, along the valley", ylabel="y, across", title="Paths over the contours")
    left.legend(title="rate", loc="lower left", frameon=True, framealpha=0.9, edgecolor="none", ncols=2)
    middle.set(xlabel="step", ylabel="loss", xlim=(0, min(tables["paths"]["step"].max(), 100)))
    logarithmic(middle.yaxis, 1e-2, 1e4)
    middle.set_title(heading("At 1/L: error along the valley kept by a step", measurements[-1]))
    for color, (name, rates) in zip(cycle(COLORS), tables["edges"].groupby("condition"), strict=False):
        right.plot(rates["share"], rates["growth"].clip(upper=1e6), color=color, marker=".", label=f"L = {name:g}")
    right.axvline(1, color=style.INK, linewidth=1, linestyle=style.DASHED)
    right.axhline(1, color=style.INK, linewidth=0.7)
    logarithmic(right.yaxis, 1e-6, 2e6)
    right.set(xlabel="rate / (2/L)", ylabel="loss at the end / at the start")
    shown = measurements[min(1, len(measurements) - 2)]
    right.set_title(heading(shown.quantity.replace("largest", "Largest"), shown))
    right.legend(loc="upper left")
    return figure


EXPERIMENT = Experiment(
    name="gradient-descent-limits",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Left and middle: gradient descent from one start at four learning rates. It converges below 2/L, where L is "
        "the largest eigenvalue. Close to 2/L, the path zigzags across the valley; far below, it makes slow progress "
        "along the valley. Right: loss at the end divided by the loss at the start, for rates around 2/L; the loss "
        "grows at rates beyond the dashed line."
    ),
    full={"condition": 100.0, "conditions": (10.0, 100.0, 1000.0), "steps": 1000, "rates": 101},
    quick={"steps": 300, "rates": 41},
)
