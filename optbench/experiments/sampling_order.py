"""Samples in their original order, shuffled without replacement, and drawn with replacement, at the same rate.

In an epoch without replacement, every sample contributes once, so that their noise cancels; with replacement, the
noise accumulates (Gürbüzbalaban, Ozdaglar and Parrilo 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import RC, heading, logarithmic, slide
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN, Measurement, estimate
from optbench.plots import style
from optbench.problem.base import ORDERS
from optbench.selection import format_value
from optbench.statistics.intervals import t_bounds

#: For the claim to hold, the loss of another order must be at least this fraction of the shuffled one's.
_AT_LEAST = 0.95
_LOOKS = {
    "shuffled": (style.BLUE, "shuffled, without replacement"),
    "sequential": (style.VERMILLION, "sequential"),
    "replacement": (style.GREEN, "drawn with replacement"),
}
#: The orders that are compared with the shuffled one, and the weights of their verdicts (the highest one decides).
_ORDERS = ("sequential", "replacement")
_WEIGHT = {HOLDS: 0, UNKNOWN: 1, FAILS: 2}
_COLUMNS = {"valley": "valid_metric", "network": "train_loss"}


def measure(setting: Setting) -> Tables:
    """The loss by seed after every epoch: problem order seed epoch loss."""
    size = setting.size
    orders = f"order=[{','.join(ORDERS)}]"
    common: dict[str, Any] = {
        "tuning_worth": 0, "batch_sizes": [size["batch"]], "run_budget": f"{size['epochs']}epochs",
        "evaluations": size["epochs"],
    }  # fmt: skip
    problems = {
        "valley": (f"quadratic_valley[{orders}]", size["valley_rate"], size["valley_seeds"]),
        "network": (f"mlp[data={format_value(size['data'])},{orders}]", size["rate"], size["seeds"]),
    }
    frames = []
    for name, (problem, rate, seeds) in problems.items():
        results = setting.run(name, **common, problems=[problem], seeds=seeds,
                              optimizers=[f"sgd[lr={format_value(rate)}]"])  # fmt: skip
        runs = results.curves[results.curves["kind"] == "run"]
        order = runs["problem"].str.extract(r"order=(\w+)", expand=False).fillna("shuffled")
        epoch = runs.groupby(["cell_id", "seed"]).cumcount()
        loss = runs[_COLUMNS[name]]
        frames.append(
            pd.DataFrame({"problem": name, "order": order, "seed": runs["seed"], "epoch": epoch, "loss": loss})
        )
    losses = pd.concat(frames, ignore_index=True)
    last = losses[losses["epoch"] == size["epochs"]]
    ends = last.groupby(["problem", "order"], as_index=False)["loss"].agg(mean="mean", n="size", deviation="std")
    return {"ends": ends, "losses": losses}


def evaluate(tables: Tables) -> list[Measurement]:
    """The loss in the second half of the epochs divided by that of the shuffled order, over paired seeds."""
    losses = tables["losses"]
    measurements = []
    late = losses[losses["epoch"] > losses["epoch"].max() / 2]
    for problem, rows in late.groupby("problem", sort=False):
        ends = rows.pivot_table(index="seed", columns="order", values="loss", aggfunc="mean", dropna=False)
        for order in _ORDERS:
            name = f"{problem}: loss {_LOOKS[order][1]} / shuffled"
            ratios = ends[order] / ends["shuffled"]
            measurements.append(estimate(name, ratios, (_AT_LEAST, math.inf), logarithmic=True))
    return measurements


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the loss against epochs with 95 % intervals of the mean, one panel per problem."""
    losses = tables["losses"]
    problems = list(losses["problem"].unique())
    n = losses.groupby("problem")["seed"].nunique()
    figure, axes = slide(
        "The order in which samples are visited",
        "SGD at one constant rate; mean and 95 % interval over seeds: "
        + ", ".join(f"{name} {n[name]}" for name in problems),
        measurements, len(problems), size=(4.4, 3.2),
    )  # fmt: skip
    titles = {"valley": "Noisy quadratic valley: excess over the minimum", "network": "Network: training loss"}
    for place, (ax, problem) in enumerate(zip(axes, problems, strict=True)):
        _curves(ax, losses[losses["problem"] == problem])
        ax.set(xlabel="epoch", ylabel="loss")
        # The title shows the order that decides: one that does not hold, or is undecided.
        order, measurement = max(
            zip(_ORDERS, measurements[2 * place :], strict=False), key=lambda pair: _WEIGHT[pair[1].verdict]
        )
        ax.set_title(heading(f"{titles[problem]}\n{_LOOKS[order][1]} / shuffled", measurement))
    axes[0].legend(loc="upper right")
    return figure


def _curves(ax: Axes, losses: pd.DataFrame) -> None:
    shown = losses[losses["epoch"] > 0]
    for order, (color, label) in _LOOKS.items():
        by_epoch = shown[shown["order"] == order].groupby("epoch")["loss"]
        mean, low = by_epoch.mean(), by_epoch.min()
        bounds = t_bounds(mean, by_epoch.std(), by_epoch.size())
        ax.plot(mean.index, mean, color=color, marker=".", label=label)
        ax.fill_between(mean.index, np.fmax(bounds[0], low / 2), bounds[1], color=color, alpha=0.2, linewidth=0)
    logarithmic(ax.yaxis, shown["loss"].min() / 1.3, shown["loss"].max() * 1.3)


EXPERIMENT = Experiment(
    name="sampling-order",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Loss after every epoch for the three orders, at the same learning rate and batch size. Without replacement, "
        "the noise of the samples cancels within an epoch. The effect is visible once noise dominates the remaining "
        "loss."
    ),
    full={
        "data": "mnist",
        "batch": 10,
        "epochs": 10,
        "rate": 0.05,
        "valley_rate": 0.005,
        "seeds": 10,
        "valley_seeds": 30,
    },
    quick={"data": "digits", "seeds": 8, "valley_seeds": 12},
)
