"""The size of a mini-batch: its effect on the loss after the same number of examples, and after the same time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.experiments.arms import by_seed, fit_logarithmic, lines, run_curves, seeds_text
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement, estimate
from optbench.plots import style
from optbench.problem.registry import make_problem


def measure(setting: Setting) -> Tables:
    """`losses`: of each run by examples and seconds; `rates`: the tuned learning rates and the times per step.

    The rate of SGD is tuned for each batch size, at the same cost. Seconds come from the separate timing pass.
    """
    size = setting.size
    problem = f"mnist_cnn[data={size['data']}]"
    whole = make_problem("mnist_cnn", {"data": size["data"]}).training_examples()
    results = setting.run(
        "sizes", problems=[problem], optimizers=["started"], batch_sizes=[*size["batch_sizes"], whole],
        run_budget=f"{size['epochs']}epochs", evaluations=size["evaluations"], seeds=size["seeds"],
        tuning_worth=float(size["trials"]), tuning_pruner="none",
        optimizer={"started": {"base": "sgd", "default_lr": size["first_rate"]}},
    )  # fmt: skip
    curves = run_curves(results.curves, tuned=True)
    columns = ["problem", "batch_size", "lr", "seed", "step", "cost", "seconds", "train_loss", "valid_loss"]
    rates = results.cells[["batch_size", "lr_tuned", "edge", "step_ms", "run_budget", "tuning_cost"]]
    return {"losses": curves[columns].reset_index(drop=True), "rates": rates}


def evaluate(tables: Tables) -> list[Measurement]:
    """The loss of the smallest and largest batch over that of a middle one, after equal examples and equal times."""
    losses = tables["losses"]
    one, whole = losses["batch_size"].min(), losses["batch_size"].max()
    middle = medium(losses)
    ends = by_seed(at_the_same(losses, "cost"), "loss", "batch_size")
    timed = by_seed(at_the_same(losses, "seconds"), "loss", "batch_size")
    return [
        estimate(
            f"loss after the same {unit}, batch {a} / batch {middle}", table[a] / table[middle], (1.0, math.inf),
            logarithmic=True,
        )
        for unit, table, a in (("examples", ends, whole), ("time", timed, one), ("time", timed, whole))
    ]  # fmt: skip


def medium(losses: pd.DataFrame) -> int:
    """The batch size in the middle of those between the smallest and the whole set; the choice ignores the losses."""
    between = sorted(losses["batch_size"].unique())[1:-1]
    return int(between[(len(between) - 1) // 2])


def at_the_same(losses: pd.DataFrame, along: str) -> pd.DataFrame:
    """The training loss of every run at the end of the run that ends first: batch_size seed loss.

    `along` is the column of examples or seconds. Between evaluations, the logarithm of the loss is interpolated. The
    loss is missing for a run that diverged.
    """
    groups = losses.groupby(["batch_size", "seed"])
    place = float(groups[along].max().groupby("batch_size").max().min())
    rows = []
    for (batch_size, seed), run in groups:
        at, loss = run[along].to_numpy(dtype=float), run["train_loss"].to_numpy(dtype=float)
        there = np.isfinite(loss).all() and at[-1] >= place * (1 - 1e-9)
        value = math.exp(np.interp(place, at, np.log(loss))) if there else math.nan
        rows.append({"batch_size": batch_size, "seed": seed, "loss": value})
    return pd.DataFrame(rows)


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the loss against examples and against time."""
    losses, rates = tables["losses"], tables["rates"].set_index("batch_size")
    sizes = sorted(losses["batch_size"].unique())
    figure, axes = slide(
        "Mini-batches: one example at a time is slow, the whole set at once learns little",
        f"{losses['problem'].iloc[0]}, SGD at a rate tuned for each batch size, {seeds_text(losses)} (thin lines)",
        measurements, 3, size=(3.6, 3.2),
    )  # fmt: skip
    for place, size in enumerate(sizes):
        color, dash = COLORS[place % len(COLORS)], style.SOLID if place < len(COLORS) else style.DASHED
        part = losses[losses["batch_size"] == size]
        rate = rates.loc[size, "lr_tuned"]
        for ax, along in zip(axes, ("cost", "seconds"), strict=False):
            lines(ax, part[part[along] > 0], along, "train_loss", color, f"{size:,}, rate {rate:.2g}", dash, marker=".")
    shown = losses[losses["cost"] > 0]
    for ax, along, label in zip(axes, ("cost", "seconds"), ("examples seen", "seconds"), strict=False):
        fit_logarithmic(ax.xaxis, shown[along])
        fit_logarithmic(ax.yaxis, shown["train_loss"])
        ax.set(xlabel=label, ylabel="training loss")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[2].set_axis_off()
    axes[2].legend(handles, labels, title="batch size", loc="upper left", borderaxespad=0)
    axes[0].set_title(heading("Same examples: whole set / middle size", measurements[0]))
    axes[1].set_title(heading("Same time: single examples / middle size", measurements[1]))
    return figure


EXPERIMENT = Experiment(
    name="batch-size",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "The training loss (on 512 examples) against the examples seen (left) and against time (right), for batches "
        "from a single example to the whole training set. The learning rate was tuned for each batch size at the same "
        "cost. The whole set takes too few steps for the examples that it visits; single examples take too few steps "
        "for the time they need. The middle size is the middle one of those tried, chosen before the measurement."
    ),
    full={
        "data": "mnist",
        "batch_sizes": (1, 10, 100, 1000, 10000),
        "epochs": 5,
        "evaluations": 40,
        "trials": 6,
        "first_rate": 0.1,
        "seeds": 5,
    },
    quick={"data": "digits", "batch_sizes": (1, 10, 100), "epochs": 1, "trials": 4, "evaluations": 10, "seeds": 3},
)
