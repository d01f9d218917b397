"""Initial weights: whether a layer's outputs keep the scale of its inputs at every size, and the effect on training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.experiments.arms import by_seed, fit_logarithmic, lines, run_curves, seeds_text, with_parameters
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.forward import first_images, fresh_model, gains
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement, around, estimate
from optbench.plots import style
from optbench.problems.initialisation import INITIALISATIONS

#: The relative tolerance for a gain from that of independent weights and inputs; inputs of a layer are not independent.
_NEAR = 0.35


def measure(setting: Setting) -> Tables:
    """`layers`: the gain of each layer at the start; `losses`: during training, SGD tuned for each initialisation."""
    size = setting.size
    problems = {name: f"mnist_cnn[data={size['data']},init={name}]" for name in INITIALISATIONS}
    images = first_images(problems["default"], setting.source, setting.device)
    layers = [
        gains(fresh_model(problem, seed, setting.device), images).assign(init=name, seed=seed)
        for name, problem in problems.items()
        for seed in range(size["draws"])
    ]
    results = setting.run(
        "train", problems=list(problems.values()), optimizers=["sgd"], batch_sizes=[size["batch_size"]],
        run_budget=f"{size['epochs']}epochs", evaluations=size["evaluations"], seeds=size["seeds"],
        tuning_worth=float(size["trials"]), tuning_pruner="none",
    )  # fmt: skip
    curves = with_parameters(run_curves(results.curves, tuned=True), init="default", data=size["data"])
    columns = ["data", "init", "batch_size", "lr", "seed", "status", "step", "cost", "train_loss", "valid_loss"]
    return {"layers": pd.concat(layers, ignore_index=True), "losses": curves[columns]}


def evaluate(tables: Tables) -> list[Measurement]:
    """The gain of torch's default, its spread over layers for default and unscaled weights, and the final losses."""
    layers, losses = tables["layers"], tables["losses"]
    by_layer = layers.pivot(index=["init", "seed"], columns="layer", values="gain")
    expected = layers.pivot(index=["init", "seed"], columns="layer", values="expected")
    ratio = np.exp(np.log(by_layer / expected).mean(axis=1))
    spread = by_layer.max(axis=1) / by_layer.min(axis=1)
    fan_in = layers.groupby("layer")["fan_in"].first()
    grows = math.sqrt(fan_in.max() / fan_in.min())
    near = around(1.0, _NEAR)
    measurements = [
        estimate("measured gain / gain of independent weights, default", ratio["default"], near, 1.0, logarithmic=True),
        estimate("gain, largest layer / smallest, default", spread["default"], (-math.inf, 2.0), 1.0, logarithmic=True),
        estimate("gain, largest layer / smallest, unscaled normal", spread["normal"], (2.0, math.inf), grows,
                 logarithmic=True),
    ]  # fmt: skip
    ends = by_seed(_ends(losses), "loss", "init")
    measurements.append(
        estimate("loss at the end, unscaled normal / default", ends["normal"] / ends["default"], (1.0, math.inf),
                 logarithmic=True)
    )  # fmt: skip
    return measurements


def _ends(losses: pd.DataFrame) -> pd.DataFrame:
    """The final loss of each run, or the initial loss if it diverged, so that means are finite: init seed loss."""
    runs = losses.sort_values("step").groupby(["init", "seed"])
    ends = runs.agg(first=("train_loss", "first"), last=("train_loss", "last"), status=("status", "first"))
    diverged = (ends["status"] != "ok") | ~(ends["last"] < ends["first"])
    return ends.assign(loss=ends["last"].where(~diverged, ends["first"])).reset_index()


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the deviation of each layer's outputs, its gain, and the loss."""
    layers, losses = tables["layers"], tables["losses"]
    figure, (left, middle, right) = slide(
        "Initialisation: weights scaled by the size of the layer keep the size of signals",
        f"mnist_cnn[data={losses['data'].iloc[0]}]; start: {layers['seed'].nunique()} draws; training: "
        f"SGD tuned for each initialisation, batch {losses['batch_size'].iloc[0]}, {seeds_text(losses)}",
        measurements, 3,
    )  # fmt: skip
    for color, name in zip(COLORS, INITIALISATIONS, strict=False):
        part = layers[layers["init"] == name]
        for ax, column in ((left, "deviation"), (middle, "gain")):
            mean = part.groupby("layer")[column].mean()
            ax.plot(part["layer"], part[column], ".", color=color, alpha=0.5, markersize=6)
            ax.plot(mean.index, mean, color=color, label=name)
        run = losses[losses["init"] == name]
        state = "" if (run["status"] == "ok").all() else ", diverges"
        lines(right, run, "cost", "train_loss", color, f"{name}, rate {run['lr'].iloc[0]:.2g}{state}")
    names = layers.groupby("layer")["fan_in"].first()
    for ax, column, label in (
        (left, "deviation", "root mean square of a layer's outputs"),
        (middle, "gain", "outputs / inputs of the layer"),
    ):
        fit_logarithmic(ax.yaxis, layers[column])
        ax.set_xticks(list(names.index), [f"{layer}\n({fan:,})" for layer, fan in names.items()])
        ax.set(xlabel="layer (its inputs)", ylabel=label)
    fit_logarithmic(right.yaxis, losses.loc[losses["status"] == "ok", "train_loss"])
    right.set(xlabel="examples seen", ylabel="training loss")
    style.cost_ticks(right.xaxis)
    left.legend()
    right.legend()
    left.set_title(heading("Default: gain, largest / smallest layer", measurements[1]))
    middle.set_title(heading("Unscaled: gain, largest / smallest layer", measurements[2]))
    right.set_title(heading("Loss at the end, unscaled / default", measurements[3]))
    return figure


EXPERIMENT = Experiment(
    name="initialisation",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Before training, left: root mean square of each layer's outputs; middle: the same divided by the root mean "
        "square of its inputs. Weights scaled by the number of inputs (in parentheses) give every layer about the same "
        "gain; with unscaled weights, the gain is about the square root of that number. Right: training loss, with the "
        "learning rate tuned for each initialisation."
    ),
    full={"data": "mnist", "draws": 10, "batch_size": 100, "epochs": 2, "evaluations": 20, "trials": 6, "seeds": 5},
    quick={"data": "digits", "evaluations": 6, "trials": 4, "seeds": 3},
)
