"""Dropout: its effect on a layer in training and in evaluation mode, and on the gap between training and test loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.errors import out_of_range
from optbench.experiments.arms import by_seed, dots, lines, run_curves, seeds_text, with_parameters
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.forward import first_images, fresh_model, record_activations
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement, around, estimate, exact
from optbench.plots import style
from optbench.selection import format_value

#: The relative tolerance for the mean of the activations with dropout.
_SAME_MEAN = 0.01


def measure(setting: Setting) -> Tables:
    """`masks`: one row per mask, with the mean and the share of zeros relative to the activations without dropout;
    `curves` and `final`: trainings.
    """
    size = setting.size
    probabilities = sorted({0.0, *map(float, size["probabilities"])})
    if len(probabilities) == 1:
        raise out_of_range("dropout[probabilities]", size["probabilities"], "at least one value above 0")
    problems = [f"mnist_cnn[data={size['data']},dropout={format_value(p)}]" for p in probabilities]
    images = first_images(problems[0], setting.source, setting.device)
    masks = [_masks(problem, images, size["masks"], setting.device) for problem in problems[1:]]
    results = setting.run(
        "train", problems=problems, optimizers=[f"adam[lr={format_value(size['rate'])}]"],
        batch_sizes=[size["batch_size"]], run_budget=f"{size['epochs']}epochs", evaluations=size["evaluations"],
        seeds=size["seeds"], tuning_worth=0,
    )  # fmt: skip
    curves, runs = (
        with_parameters(frame, dropout=0.0, data=size["data"]) for frame in (run_curves(results.curves), results.runs)
    )
    runs = runs.assign(gap=runs["test_loss"] - runs["train_loss"], test_error=1 - runs["test_metric"])
    shared = ["data", "dropout", "optimizer", "batch_size", "seed"]
    return {
        "curves": curves[[*shared, "cost", "step", "train_loss", "valid_loss"]],
        "final": runs[[*shared, "status", "train_loss", "test_loss", "gap", "test_error"]],
        "masks": pd.concat(masks, ignore_index=True),
    }


def _masks(problem: str, images: object, count: int, device: str) -> pd.DataFrame:
    """One row for each pass through the network: passes in training mode with a new mask each, and one in evaluation
    mode.
    """
    import torch
    from torch import nn

    model = fresh_model(problem, 0, device)
    (layer,) = (module for module in model.modules() if isinstance(module, nn.Dropout))
    rows = []
    with torch.no_grad(), record_activations({"dropout": layer}) as kept:
        for mask in range(-1, count):
            layer.train(mask >= 0)
            model(images)
            inputs, output = (values.double() for values in kept["dropout"])
            active = inputs != 0
            rows.append({
                "dropout": layer.p, "mask": mask, "training": layer.training,
                "mean": (output.mean() / inputs.mean()).item(),
                "zeros": ((output == 0) & active).sum().item() / active.sum().item(),
                "changed": (output != inputs).sum().item(),
            })  # fmt: skip
    return pd.DataFrame(rows)


def evaluate(tables: Tables) -> list[Measurement]:
    """Mean and share of zeros for each probability, the changes in evaluation mode, and the change of the gap."""
    masks, final = tables["masks"], tables["final"]
    measurements = []
    for p, rows in masks[masks["training"]].groupby("dropout"):
        p = float(str(p))
        name = f"mean of activations with / without dropout, p = {p:g}"
        measurements.append(estimate(name, rows["mean"], around(1.0, _SAME_MEAN), 1.0))
        measurements.append(estimate(f"share of activations set to 0, p = {p:g}", rows["zeros"], around(p, 0.02), p))
    changed = masks.loc[~masks["training"], "changed"].sum()
    measurements.append(exact("activations changed in evaluation mode", float(changed), (0.0, 0.0), 0.0))
    gap, strongest = by_seed(final, "gap", "dropout"), final["dropout"].max()
    name = f"test − training loss, p = {strongest:g} minus p = 0"
    measurements.append(estimate(name, gap[strongest] - gap[0.0], (-math.inf, 0.0)))
    return measurements


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the means over masks, the losses, and the gap against p."""
    masks, curves, final = tables["masks"], tables["curves"], tables["final"]
    figure, (left, middle, right) = slide(
        "Dropout: scaled by 1/(1 − p), and a smaller gap between training and test",
        f"mnist_cnn[data={final['data'].iloc[0]}], {final['optimizer'].iloc[0]}, batch {final['batch_size'].iloc[0]}, "
        f"{seeds_text(final)} (thin lines and dots)",
        measurements, 3,
    )  # fmt: skip
    training = masks[masks["training"]]
    samples = [(f"{p:g}", rows["mean"]) for p, rows in training.groupby("dropout")]
    dots(left, samples, [*COLORS[1:], COLORS[0]])
    for place, (p, _) in enumerate(samples):
        left.plot([place - 0.4, place + 0.4], [1 - float(p)] * 2, ":", color=COLORS[6], linewidth=1.4,
                  label="without the factor 1/(1 − p)" if not place else None)  # fmt: skip
    left.set(xlabel="p", ylabel="mean of activations, with / without", ylim=(0, 1.3))
    left.legend(loc="lower left")
    left.set_title(heading(f"Mean of activations at p = {float(samples[-1][0]):g}", measurements[2 * len(samples) - 2]))
    for color, (strength, rows) in zip(cycle(COLORS), curves.groupby("dropout"), strict=False):
        lines(middle, rows[rows["step"] > 0], "cost", "valid_loss", color, f"p = {strength:g}")
        mean = rows[rows["step"] > 0].groupby("step")[["cost", "train_loss"]].mean()
        middle.plot(mean["cost"], mean["train_loss"], color=color, linestyle="--", linewidth=1.2)
    middle.set(xlabel="examples seen", ylabel="loss (dashed: training)", ylim=(0, None))
    # The activations that change in evaluation mode are measured, but not part of these panels.
    middle.set_title(heading("Losses, evaluated without dropout"))
    middle.legend()
    style.cost_ticks(middle.xaxis)
    dots(right, [(f"{p:g}", rows["gap"]) for p, rows in final.groupby("dropout")])
    right.axhline(0, color=COLORS[6], linewidth=0.7)
    right.set(xlabel="p", ylabel="test loss − training loss")
    right.set_title(heading(f"Gap, p = {final['dropout'].max():g} minus p = 0", measurements[-1]))
    return figure


EXPERIMENT = Experiment(
    name="dropout",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Left: mean of the hidden layer's activations after dropout, divided by the mean before; each dot is a mask. "
        "The dotted line is the ratio without the factor 1/(1 − p). Middle: validation loss (solid) and training loss "
        "(dashed), both evaluated without dropout. Right: test loss minus training loss after the last epoch."
    ),
    full={
        "data": "mnist",
        "probabilities": (0.25, 0.5, 0.75),
        "masks": 30,
        "rate": 1e-3,
        "batch_size": 100,
        "epochs": 15,
        "evaluations": 15,
        "seeds": 5,
    },
    limits={"probabilities": (0, 0.99)},
    quick={"data": "digits", "epochs": 12, "evaluations": 6, "seeds": 3},
)
