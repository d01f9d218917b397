"""A redundant set: visiting a part of it at a larger rate is the full sum at a part of its cost.

Where M samples are there K times each, the sum over all is K times the sum over M of them, so that the paths of
(all, η) and (M, Kη) are the same. A real set is redundant about so: in terms of the mean gradient, a batch of an
N/K-th goes where the full one does, as long as its noise is small.
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
from optbench.experiments.verdict import Finding, estimate, exact
from optbench.plots import style
from optbench.problem.registry import make_problem
from optbench.selection import format_value

#: Rate of the full sum in parts of 1/L, with L its largest eigenvalue.
_RATE, _CONDITION = 0.5, 100.0
#: What the rounding of sums in another order may leave of a difference.
_SAME = 1e-10
#: The part of K that a real set has to give, and the multiple of it that is still K.
_ROUGHLY = (0.5, 1.5)
#: Steps of partial batches in those of the full one.
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
    """Training losses of full and partial batches at an equal rate: parts seed step cost loss."""
    size = setting.size
    select = f"mlp[data={format_value(size['data'])}]"
    examples = make_problem("mlp", {"data": size["data"]}).training_examples()
    batches = {examples // part: part for part in (1, *size["parts"])}
    # Partial batches may take some more steps, or chance would decide whether they reach the full one's loss.
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
    found = curves[["batch_size", "seed", "step", "cost"]].assign(loss=curves["train_loss"])
    return found.assign(parts=found["batch_size"].map(batches))


def gains(losses: pd.DataFrame) -> pd.DataFrame:
    """By part and seed, what the loss at the end of the full batch costs it over what it costs a partial one.

    parts seed gain; infinite costs, of a loss that a partial batch doesn't reach, give a gain of 0.
    """
    rows = []
    for seed, mine in losses.groupby("seed"):
        full = mine[mine["parts"] == 1].sort_values("cost")
        aim, cost = full["loss"].iloc[-1], full["cost"].iloc[-1]
        for parts, curve in mine[mine["parts"] > 1].sort_values("cost").groupby("parts"):
            rows.append({"parts": parts, "seed": seed, "gain": cost / _reached(curve, float(aim))})
    return pd.DataFrame(rows)


def _reached(curve: pd.DataFrame, aim: float) -> float:
    """The cost at which a curve's running best first is at most `aim`, interpolated; infinite where it never is."""
    loss, cost = np.minimum.accumulate(curve["loss"].to_numpy()), curve["cost"].to_numpy()
    there = np.flatnonzero(loss <= aim)
    if not len(there):
        return math.inf
    last = int(there[0])
    if last == 0:
        return float(cost[0])
    share = (loss[last - 1] - aim) / (loss[last - 1] - loss[last])
    return float(cost[last - 1] + share * (cost[last] - cost[last - 1]))


def find(tables: Tables) -> list[Finding]:
    """The difference of the paths and the ratio of their costs; the gain on a real set, where it is approximate."""
    paths = tables["paths"]
    ways = {name: way.sort_values("step") for name, way in paths.groupby("visited")}
    away = np.abs(ways["all"][["x", "y"]].to_numpy() - ways["once"][["x", "y"]].to_numpy()).max()
    copies = float(paths["copies"].iloc[0])
    ratio = float(ways["all"]["cost"].iloc[0] / ways["once"]["cost"].iloc[0])
    findings = [
        exact("largest difference of the paths", float(away), (0, _SAME), 0),
        exact("cost of all / of one of each", ratio, (copies, copies), copies),
    ]
    for parts, rows in tables["gains"].groupby("parts"):
        size = float(str(parts))
        accepted = (_ROUGHLY[0] * size, _ROUGHLY[1] * size)
        name = f"cost to the same loss, all / a {parts}th of the set"
        findings.append(estimate(name, rows["gain"], accepted, size, logarithmic=True))
    return findings


@mpl.rc_context(RC)
def draw(tables: Tables, findings: Sequence[Finding]) -> Figure:
    """The same path at a part of the cost; loss against cost of full and partial batches; gain against part."""
    paths, losses, gained = tables["paths"], tables["losses"], tables["gains"]
    seeds = losses["seed"].nunique()
    copies = int(paths["copies"].iloc[0])
    figure, (same, cost, gain) = slide(
        "A redundant set: a part of it at a larger rate does what the full sum does",
        f"left: quadratic valley, each sample {copies} times; else a network on real data, means over {seeds} seeds",
        findings, 3,
    )  # fmt: skip
    for name, color, width in (("all", style.SKY, 5), ("once", style.VERMILLION, 1.5)):
        way = paths[paths["visited"] == name].sort_values("step")
        label = "all of them, rate η" if name == "all" else f"one of each, rate {copies}η"
        same.plot(way["x"], way["y"], color=color, linewidth=width, label=label)
    same.set(xlabel="x", ylabel="y", title=heading(f"Same path, cost ratio {findings[1].measured:g}", findings[0]))
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
    means = [finding.measured for finding in findings[2:]]
    sizes = sorted(gained["parts"].unique())
    errors = [[f.measured - f.low for f in findings[2:]], [f.high - f.measured for f in findings[2:]]]
    gain.errorbar(sizes, means, yerr=errors, fmt="o-", color=style.BLUE, capsize=4, label="measured, 95 % interval")
    gain.plot(sizes, sizes, color=style.INK, linestyle=style.DASHED, linewidth=1.2, label="exactly redundant")
    logarithmic(gain.xaxis, sizes[0] / 1.5, sizes[-1] * 1.5)
    known = [number for number in (*means, *sizes) if math.isfinite(number)]
    logarithmic(gain.yaxis, min(known) / 2, max(known) * 2)
    gain.set(xlabel="K, batch of an N/K-th", ylabel="cost of full batch / of part")
    gain.set_title(heading(f"To the same loss, K = {sizes[0]}", findings[2]))
    gain.legend(loc="upper left")
    return figure


EXPERIMENT = Experiment(
    name="redundancy",
    measure=measure,
    find=find,
    draw=draw,
    caption=(
        "Left: gradient descent on a set in which each sample is there several times, and on one of each at a rate"
        " as many times as large, take the same steps. Middle and right: on a real set, partial batches at the "
        "rate of the full one (of means) take nearly the same steps, so that the loss at which the full batch ends"
        " costs them a K-th; the dashed line is what an exactly redundant set would give."
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
