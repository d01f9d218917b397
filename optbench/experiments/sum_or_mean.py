"""The gradient summed over the batch, as in the lecture, or averaged, as in PyTorch, against the batch size.

The sum over B examples is B times their mean, so the rate η of the mean and the rate η/B of the sum give the same
step. Therefore the best rate of the sum is 1/B times that of the mean, however that changes with the batch size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from optbench.experiments.arms import fit_logarithmic, with_parameters
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement
from optbench.plots import style
from optbench.results.load import Results
from optbench.selection import format_value

#: The range of rates of the network, a factor of 4096 = 2¹²: a step of the grid is 2 (or √2), so that doubling the
#: batch moves the rates of the sum by whole steps.
_RATES = (2.0**-12, 1.0)
#: The tolerance for the exponent of the ratio of rates from −1: about a step of the grid over the batch sizes.
_SLOPE = 0.2
#: A rate counts as shrinking if its exponent is below this, and as not shrinking above.
_SHRINKS = -0.25


def measure(setting: Setting) -> Tables:
    """The final loss by problem, reduction, batch size and rate (`trials`), and the best rates (`best`)."""
    size = setting.size
    problems = {
        "valley": ("quadratic_valley[{}]", size["valley_batches"], f"{size['valley_epochs']}epochs",
                   size["valley_rates"], 1e-5, 1e-1),
        "network": (f"mnist_cnn[data={format_value(size['data'])},{{}}]", size["batches"],
                    f"{size['epochs']}epochs", size["rates"], *_RATES),
    }  # fmt: skip
    frames = []
    for name, (problem, batches, budget, rates, low, high) in problems.items():
        results = setting.run(
            name, problems=[problem.format("reduction=[mean,sum]")], batch_sizes=list(batches), run_budget=budget,
            optimizers=["swept"], optimizer={"swept": {"base": "sgd", "search": {"lr": {"low": low, "high": high}}}},
            tuning_worth=rates + 1, tuning_sampler="grid", seeds=1, evaluations=2,
        )  # fmt: skip
        frames.append(_trials(results).assign(task=name))
    trials = pd.concat(frames, ignore_index=True)
    return {"best": best(trials), "trials": trials}


def _trials(results: Results) -> pd.DataFrame:
    """The trials of the grid (without the first trial at the default rate), with the loss at the start of each."""
    trials = with_parameters(results.trials[results.trials["trial"] > 0], reduction="mean")
    start = results.curves[results.curves["step"] == 0].groupby("cell_id")["valid_loss"].first()
    columns = ["reduction", "batch_size", "lr", "start", "loss"]
    return trials.assign(start=trials["cell_id"].map(start), loss=trials["valid_loss"].where(trials["status"] == "ok"))[
        columns
    ]


def best(trials: pd.DataFrame) -> pd.DataFrame:
    """The rate with the lowest loss, and the largest usable rate, at which the loss falls at least half as far as at
    the best one: task reduction batch_size best_lr largest_lr.
    """
    keys = ["task", "reduction", "batch_size"]
    done = trials[trials["loss"] < trials["start"]].sort_values(["loss", "lr"], kind="stable")
    lowest = done.groupby(keys)["loss"].transform("min")
    usable = done[done["loss"] <= (done["start"] + lowest) / 2]
    return usable.groupby(keys).agg(best_lr=("lr", "first"), largest_lr=("lr", "max")).reset_index()


def slope(
    quantity: str, sizes: Any, rates: Any, accepted: tuple[float, float], predicted: float = math.nan
) -> Measurement:
    """The exponent b of rate ∝ size^b by least squares on the logarithms, with Student's 95 % interval.

    It is missing with fewer than three sizes, or if a size has no usable rate.
    """
    x, y = np.log(np.asarray(sizes, dtype=float)), np.log(np.asarray(rates, dtype=float))
    if len(x) < 3 or not np.isfinite(y).all():
        return Measurement(quantity, math.nan, math.nan, math.nan, accepted, predicted, len(x))
    away = x - x.mean()
    exponent = float(away @ y / (away @ away))
    error = np.sqrt(np.square(y - y.mean() - exponent * away).sum() / (len(x) - 2) / (away @ away))
    half = float(stats.t.ppf(0.975, len(x) - 2) * error)
    # Exponents that differ only by the rounding of logarithms become equal.
    middle, low, high = (round(number, 12) for number in (exponent, exponent - half, exponent + half))
    return Measurement(quantity, middle, low, high, accepted, predicted, len(x))


def evaluate(tables: Tables) -> list[Measurement]:
    """The exponents of the largest usable rate in the batch size: for the sum, for the mean, and for their ratio."""
    measurements = []
    for task, rows in tables["best"].groupby("task", sort=False):
        rates = rows.pivot(index="batch_size", columns="reduction", values="largest_lr")
        sizes, named = rates.index, f"{task}: exponent of the largest usable rate in the batch size"
        measurements += [
            slope(f"{named}, sum", sizes, rates["sum"], (-math.inf, _SHRINKS)),
            slope(f"{named}, mean", sizes, rates["mean"], (_SHRINKS, math.inf)),
            slope(f"{named}, sum / mean", sizes, rates["sum"] / rates["mean"], (-1 - _SLOPE, -1 + _SLOPE), -1.0),
        ]
    return measurements


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the best rates against the batch size, and the loss of the network against the rate."""
    trials, chosen = tables["trials"], tables["best"]
    tasks = list(chosen["task"].unique())
    figure, axes = slide(
        "Sum or mean over the batch: with the sum, the usable rate shrinks as the batch grows",
        "SGD on the same grid of rates for all batch sizes; at the largest usable rate, the loss falls at least half "
        "as far as at the best one",
        measurements,
        len(tasks) + 1,
    )  # fmt: skip
    names = {"valley": "Quadratic valley", "network": "Network"}
    for place, (ax, task) in enumerate(zip(axes, tasks, strict=False)):
        _best(ax, chosen[chosen["task"] == task])
        ax.set_title(heading(f"{names[task]}: exponent, sum / mean", measurements[3 * place + 2]))
        low, high = ax.get_ylim()
        ax.set_ylim(low / (high / low) ** 0.45, high)
        ax.legend(loc="lower left", ncols=2, columnspacing=1.0)
    _losses(axes[-1], trials[trials["task"] == "network"])
    axes[-1].set_title("Network: loss against rate\n(solid: mean, dashed: sum)")
    return figure


def _best(ax: Axes, rows: pd.DataFrame) -> None:
    for color, (reduction, rates) in zip((style.BLUE, style.VERMILLION), rows.groupby("reduction"), strict=True):
        ax.plot(rates["batch_size"], rates["best_lr"], "o-", color=color, label=f"{reduction}, best")
        ax.plot(
            rates["batch_size"], rates["largest_lr"], "^:", color=color, linewidth=1.1, label=f"{reduction}, largest"
        )
    fit_logarithmic(ax.xaxis, rows["batch_size"])
    fit_logarithmic(ax.yaxis, [*rows["best_lr"], *rows["largest_lr"]])
    ax.set(xlabel="batch size", ylabel="learning rate")


def _losses(ax: Axes, trials: pd.DataFrame) -> None:
    for color, (batch, rows) in zip(cycle(COLORS), trials.groupby("batch_size"), strict=False):
        for reduction, dash in (("mean", style.SOLID), ("sum", style.DASHED)):
            shown = rows[rows["reduction"] == reduction].sort_values("lr")
            label = f"batch {batch}" if reduction == "mean" else None
            ax.plot(shown["lr"], shown["loss"], color=color, linestyle=dash, marker=".", label=label)
    fit_logarithmic(ax.xaxis, trials["lr"])
    ax.set(xlabel="learning rate", ylabel="validation loss at the end", ylim=(0, 1.75 * trials["start"].median()))
    ax.legend(loc="upper left", ncols=2, frameon=True, framealpha=0.95, edgecolor="none")


EXPERIMENT = Experiment(
    name="sum-or-mean",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Left and middle: the learning rate with the lowest loss, and the largest one at which the loss falls at least "
        "half as far, against the batch size, for gradients averaged and summed over the batch. Right: final "
        "loss against learning rate."
    ),
    full={
        "data": "mnist",
        "batches": (16, 32, 64, 128, 256),
        "epochs": 0.2,
        "rates": 24,
        "valley_batches": (5, 10, 20, 40, 80, 160, 320),
        "valley_epochs": 20,
        "valley_rates": 61,
    },
    quick={"data": "digits", "batches": (8, 16, 32, 64, 128), "epochs": 1.0, "rates": 12},
)
