"""A pretrained first layer: frozen for half of the epochs and then trained, always frozen, or never frozen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from optbench.experiments.arms import by_seed, dots, lines, run_curves, seeds_text, with_parameters
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement, estimate, exact
from optbench.selection import format_value

#: The arms: the shares of the epochs during which the first layer is frozen, and their names.
ARMS = {0.5: "frozen, then free", 1.0: "always frozen", 0.0: "free from the start"}
#: Weights and biases of AlexNet's first layer: 64 filters of 3 × 11 × 11.
FIRST_LAYER = 64 * 3 * 11 * 11 + 64


def measure(setting: Setting) -> Tables:
    """`final`: test errors; `curves`: errors and the number of trained weights by epoch."""
    size = setting.size
    weights = setting.weights or size["weights"]
    shares = ",".join(map(format_value, ARMS))
    results = setting.run(
        "train", problems=[f"frozen_features[data={size['data']},weights={format_value(weights)},frozen=[{shares}]]"],
        optimizers=[f"adam[lr={format_value(size['rate'])}]"], batch_sizes=[size["batch_size"]],
        run_budget=f"{size['epochs']}epochs", evaluations=size["epochs"], seeds=size["seeds"], tuning_worth=0,
    )  # fmt: skip
    defaults = {"data": "cifar10", "weights": "imagenet", "frozen": 0.5}
    curves, runs = (with_parameters(frame, **defaults) for frame in (run_curves(results.curves), results.runs))
    epoch = curves["cost"] * size["epochs"] / results.cells["run_budget"].iloc[0]
    shared = ["data", "weights", "frozen", "optimizer", "batch_size", "seed", "status"]
    curves = curves.assign(epoch=epoch, valid_error=1 - curves["valid_metric"])
    return {
        "final": runs.assign(test_error=1 - runs["test_metric"])[[*shared, "test_loss", "test_error"]],
        "curves": curves[[*shared, "epoch", "step", "train_loss", "valid_error", "trainable_parameters"]],
    }


def evaluate(tables: Tables) -> list[Measurement]:
    """How many weights are freed and when, and the test errors of the other two arms against the lecture's arm."""
    curves, final = tables["curves"], tables["final"]
    half = curves[curves["frozen"] == 0.5]
    count, share = half["trainable_parameters"], half["epoch"] / half["epoch"].max()
    evaluated = np.sort(share.unique())
    frozen = share[count == count.min()].max() if count.nunique() > 1 else 1.0
    # It is observed only at evaluations: at the last one in the first half, which may end a fraction of a step later.
    due = evaluated[evaluated < 0.5 + 1 / half["step"].max()].max()
    errors = by_seed(final, "test_error", "frozen")
    measurements = [
        exact("weights trained at the end − at the start", count.max() - count.min(), (FIRST_LAYER, FIRST_LAYER),
              FIRST_LAYER),
        exact("share of the epochs with the first layer frozen", frozen, (due, due), due),
        estimate("test error, free from the start − frozen, then free", errors[0.0] - errors[0.5], (0.0, math.inf)),
        estimate("test error, always frozen − frozen, then free", errors[1.0] - errors[0.5], (0.0, math.inf)),
    ]  # fmt: skip
    if (final["weights"] == "none").all():
        # Random weights support no conclusion about pretrained ones, however significant the difference is.
        measurements[2:] = [
            replace(one, quantity=f"{one.quantity} (random weights)", low=math.nan, high=math.nan)
            for one in measurements[2:]
        ]
    return measurements


def _around(counts: pd.Series) -> tuple[float, float]:
    """The limits of an axis on which the lowest and the highest count enclose the middle half."""
    low, high = float(counts.min()), float(counts.max())
    return low - (high - low) / 2, high + (high - low) / 2


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the validation error and the trained weights by epoch, and the test errors."""
    curves, final = tables["curves"], tables["final"]
    first = final.iloc[0]
    origin = "random weights (none)" if first["weights"] == "none" else f"weights: {first['weights']}"
    figure, (left, middle, right) = slide(
        "Frozen features: a pretrained first layer, later trained with the others",
        f"frozen_features on {first['data']}, {origin}, {first['optimizer']}, batch {first['batch_size']}, "
        f"{seeds_text(final)} (thin lines and dots)",
        measurements, 3,
    )  # fmt: skip
    for color, (share, label) in zip(COLORS, ARMS.items(), strict=False):
        part = curves[curves["frozen"] == share]
        lines(left, part, "epoch", "valid_error", color, label)
        count = part[part["seed"] == part["seed"].min()]
        looks: dict[str, Any] = {"linewidth": 5, "alpha": 0.5} if share == 0.5 else {}
        middle.step(count["epoch"], count["trainable_parameters"], where="pre", color=color, label=label, **looks)
    left.set(xlabel="epoch", ylabel="validation error", ylim=(0, None))
    left.legend()
    middle.set(xlabel="epoch", ylabel="weights that are trained", ylim=_around(curves["trainable_parameters"]))
    middle.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    dots(right, [(label.replace(", ", ",\n").replace(" from", "\nfrom").replace("always ", "always\n"),
                  final.loc[final["frozen"] == share, "test_error"]) for share, label in ARMS.items()])  # fmt: skip
    right.set(ylabel="test error")
    left.set_title(heading("Share of the epochs with it frozen", measurements[1]))
    middle.set_title(heading("Weights freed", measurements[0]))
    right.set_title(heading("Test error, free − frozen, then free", measurements[2]))
    return figure


EXPERIMENT = Experiment(
    name="frozen-features",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "AlexNet's first layer below a small residual network: frozen for the first half of the epochs and then "
        "trained (as in the lecture), always frozen, and free from the start. Left: validation error; middle: number "
        "of weights that are trained; right: test error after the last epoch. Results with random weights support no "
        "conclusion about pretrained ones."
    ),
    full={
        "data": "cifar10",
        "weights": "imagenet",
        "rate": 1e-3,
        "batch_size": 128,
        "epochs": 10,
        "seeds": 5,
    },
    quick={"data": "digits", "weights": "none", "batch_size": 50, "epochs": 4, "seeds": 3},
)
