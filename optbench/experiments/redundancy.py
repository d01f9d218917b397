"""A redundant set: visiting a part of it at a larger rate replaces the full sum at a fraction of its cost.

If a set contains each of M samples K times, the sum over all is K times the sum over the M samples, so the paths of
(all, η) and (M, Kη) are the same. A real set is approximately redundant: with mean gradients, a batch of N/K of the N
examples follows the path of the full batch as long as its noise is small.
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

from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import COLORS, RC, heading, logarithmic, slide
from optbench.experiments.verdict import Measurement, estimate, exact
from optbench.plots import style
from optbench.problem.registry import make_problem
from optbench.selection import format_value

#: The rate of the full sum as a fraction of 1/L, where L is its largest eigenvalue, and the condition of the valley.
_RATE, _CONDITION = 0.5, 100.0
#: The difference that rounding may cause because sums are in a different order.
_SAME = 1e-10
#: The gain of a real set has to lie between these multiples of K.
_ROUGHLY = (0.5, 1.5)
#: The number of steps of partial batches, in units of those of the full batch.
_MORE = 3


def measure(setting: Setting) -> Tables:
    """Both paths on the copied set (`paths`), and losses of full and partial batches on a real one (`losses`)."""
    size = setting.size
    copies, samples = size["copies"], size["samples"]
    rate = _RATE / (_CONDITION * samples * copies)
    paths = []
    for name, times, lr in (("all", copies, rate), ("once", 1, copies * rate)):
        batch = samples * times
        valley = f"condition={format_value(_CONDITION)},examples={samples},copies={times},reduction=sum"
        results = setting.run(
            f"exact-{name}", problems=[f"quadratic_valley[{valley}]"], optimizers=[f"sgd[lr={format_value(lr)}]"],
            batch_sizes=[batch], run_budget=f"{size['path_steps'] * batch}examples", seeds=1, tuning_worth=0,
            engine="serial",
        )  # fmt: skip
        path = results.trajectories[["step", "x", "y"]].assign(visited=name, copies=copies)
        paths.append(path.assign(cost=float(results.runs["cost"].iloc[0])))
    return {"gains": (losses := _losses(setting)).pipe(gains), "losses": losses, "paths": pd.concat(paths)}


def _losses(setting: Setting) -> pd.DataFrame:
    """Training losses of full and partial batches at the same rate: parts seed step cost loss."""
    size = setting.size
    select = f"mlp[data={format_value(size['data'])}]"
    examples = make_problem("mlp", {"data": size["data"]}).training_examples()
    batches = {examples // part: part for part in (1, *size["parts"])}
    # Partial batches take more steps; otherwise, chance would decide whether they reach the loss of the full batch.
    problems: list[Any] = [
        {"select": select, "batch_sizes": [batch],
         "run_budget": f"{size['steps'] * batch * (1 if part == 1 else _MORE)}examples"}
        for batch, part in batches.items()
    ]  # fmt: skip
    results = setting.run(
        "approximate", problems=problems, optimizers=[f"sgd[lr={format_value(size['rate'])}]"], batch_sizes=[],
        seeds=size["seeds"], tuning_worth=0, evaluations=size["evaluations"],
    )  # fmt: skip
    curves = results.curves[results.curves["kind"] == "run"]
    losses = curves[["batch_size", "seed", "step", "cost"]].assign(loss=curves["train_loss"])
    return losses.assign(parts=losses["batch_size"].map(batches))


def gains(losses: pd.DataFrame) -> pd.DataFrame:
    """The cost of the full batch to its final loss divided by the cost of a partial batch: parts seed gain.

    The gain is 0 if the partial batch does not reach that loss.
    """
    rows = []
    for seed, mine in losses.groupby("seed"):
        full = mine[mine["parts"] == 1].sort_values("cost")
        aim, cost = full["loss"].iloc[-1], full["cost"].iloc[-1]
        for parts, curve in mine[mine["parts"] > 1].sort_values("cost").groupby("parts"):
            rows.append({"parts": parts, "seed": seed, "gain": cost / _cost_to(curve, float(aim))})
    return pd.DataFrame(rows)


def _cost_to(curve: pd.DataFrame, aim: float) -> float:
    """The cost at which the running best of a curve first reaches `aim`, interpolated; infinite if it never does."""
    loss, cost = np.minimum.accumulate(curve["loss"].to_numpy()), curve["cost"].to_numpy()
    there = np.flatnonzero(loss <= aim)
    if not len(there):
        return math.inf
    last = int(there[0])
    if last == 0:
        return float(cost[0])
    share = (loss[last - 1] - aim) / (loss[last - 1] - loss[last])
    return float(cost[last - 1] + share * (cost[last] - cost[last - 1]))


def evaluate(tables: Tables) -> list[Measurement]:
    """The difference of the paths and the ratio of their costs; the gain on a real set, which is approximate."""
    paths = tables["paths"]
    ways = {name: way.sort_values("step") for name, way in paths.groupby("visited")}
    away = np.abs(ways["all"][["x", "y"]].to_numpy() - ways["once"][["x", "y"]].to_numpy()).max()
    copies = float(paths["copies"].iloc[0])
    ratio = float(ways["all"]["cost"].iloc[0] / ways["once"]["cost"].iloc[0])
    measurements = [
        exact("largest difference of the paths", float(away), (0, _SAME), 0),
        exact("cost of all / of one of each", ratio, (copies, copies), copies),
    ]
    for parts, rows in tables["gains"].groupby("parts"):
        size = float(str(parts))
        accepted = (_ROUGHLY[0] * size, _ROUGHLY[1] * size)
        name = f"cost to the same loss, all / a {parts}th of the set"
        measurements.append(estimate(name, rows["gain"], accepted, size, logarithmic=True))
    return measurements


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws both paths on the copied set, loss against cost of full and partial batches, and gain against part."""
    paths, losses, gained = tables["paths"], tables["losses"], tables["gains"]
    seeds = losses["seed"].nunique()
    copies = int(paths["copies"].iloc[0])
    figure, (same, cost, gain) = slide(
        "A redundant set: a part of it at a larger rate follows the same path as the full sum",
        f"left: quadratic valley, each sample {copies} times; others: a network on real data, means over {seeds} seeds",
        measurements, 3,
    )  # fmt: skip
    for name, color, width in (("all", style.SKY, 5), ("once", style.VERMILLION, 1.5)):
        way = paths[paths["visited"] == name].sort_values("step")
        label = "all of them, rate η" if name == "all" else f"one of each, rate {copies}η"
        same.plot(way["x"], way["y"], color=color, linewidth=width, label=label)
    same.set(
        xlabel="x", ylabel="y", title=heading(f"Same path, cost ratio {measurements[1].measured:g}", measurements[0])
    )
    same.legend(loc="upper left")
    for color, (parts, rows) in zip(cycle(COLORS), losses.groupby("parts"), strict=False):
        curve = rows[rows["step"] > 0].groupby("step").agg(cost=("cost", "mean"), loss=("loss", "mean"))
        label = "full batch" if parts == 1 else f"batch of a {parts}th"
        cost.plot(curve["cost"], curve["loss"], color=color, label=label)
    shown = losses[losses["step"] > 0]
    logarithmic(cost.xaxis, shown["cost"].min(), shown["cost"].max())
    logarithmic(cost.yaxis, shown["loss"].min() / 1.1, shown["loss"].max() * 1.1)
    cost.set(xlabel="cost / example gradients", ylabel="training loss", title="Equal learning rate")
    cost.legend(loc="lower left")
    means = [measurement.measured for measurement in measurements[2:]]
    sizes = sorted(gained["parts"].unique())
    errors = [[f.measured - f.low for f in measurements[2:]], [f.high - f.measured for f in measurements[2:]]]
    gain.errorbar(sizes, means, yerr=errors, fmt="o-", color=style.BLUE, capsize=4, label="measured, 95 % interval")
    gain.plot(sizes, sizes, color=style.INK, linestyle=style.DASHED, linewidth=1.2, label="exactly redundant")
    logarithmic(gain.xaxis, sizes[0] / 1.5, sizes[-1] * 1.5)
    known = [number for number in (*means, *sizes) if math.isfinite(number)]
    logarithmic(gain.yaxis, min(known) / 2, max(known) * 2)
    gain.set(xlabel="K, batch of an N/K-th", ylabel="cost of full batch / of part")
    gain.set_title(heading(f"To the same loss, K = {sizes[0]}", measurements[2]))
    gain.legend(loc="upper left")
    return figure


EXPERIMENT = Experiment(
    name="redundancy",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Left: gradient descent on a set that contains each sample K times takes the same steps as on one copy of each "
        "sample at K times the rate. Middle and right: on a real set with mean gradients, partial batches take nearly "
        "the same steps as the full batch at the same rate, so they reach its final loss at about a K-th of the cost. "
        "The dashed line is the gain of an exactly redundant set."
    ),
    full={
        "copies": 10,
        "samples": 100,
        "path_steps": 200,
        "data": "mnist",
        "parts": (4, 16, 64),
        "rate": 0.2,
        "steps": 100,
        "evaluations": 50,
        "seeds": 5,
    },
    quick={"path_steps": 100, "data": "digits", "parts": (4, 16), "evaluations": 25, "seeds": 4},
)
