"""Adam on a valley and on the same valley with one coordinate's gradient rescaled, and the effect of its parts.

Except for ε, the step m̂/√v̂ does not change if the gradient of a coordinate is multiplied by a positive number
(Kingma and Ba 2015, section 2.1). Without bias correction the first step is (1 − β₁)/√(1 − β₂) times as long.
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
from optbench.experiments.slide import RC, contours, heading, path, slide
from optbench.experiments.verdict import Measurement, around, exact
from optbench.plots import style
from optbench.selection import format_value

UNCORRECTED = "optbench.experiments.uncorrected:UncorrectedAdam"
BETAS = (0.9, 0.999)
#: Variants of Adam by their names in the legend, some with one moment alone: the mean of gradients, or their scale.
PARTS = {
    "Adam": "adam[{rate}]",
    "first moment only": "sgd[momentum=0.9,dampening=0.9,{rate}]",
    "second moment only": "adam[betas=(0,0.999),{rate}]",
    "no bias correction": f"{UNCORRECTED}[{{rate}}]",
}
#: The smallest distance at which paths count as different, as a fraction of the distance from start to minimum.
_DIFFERENT = 0.05
#: The difference that ε = 1e-8 may cause with gradients of about 1.
_EPSILON = 1e-5


def _valley(condition: float) -> str:
    return f"quadratic_valley[condition={format_value(condition)},examples=1,noise=0]"


def measure(setting: Setting) -> Tables:
    """Paths of Adam and SGD on both valleys (`twins`), paths of Adam's `parts` on the narrow one, and its `ground`."""
    size = setting.size
    condition, rate = size["condition"], size["rate"]
    slow = 1.5 / condition  # stable on both
    common = planes.PLANE | {"run_budget": f"{size['steps']}examples"}
    twins = setting.run(
        "twins", **common, problems=[_valley(1.0), _valley(condition)],
        optimizers=[f"adam[lr={format_value(rate)}]", f"sgd[lr={format_value(slow)}]"],
    )  # fmt: skip
    labels = list(twins.cells["problem"].unique())
    pairs = [
        planes.paths(twins, label).assign(condition=value)
        for label, value in zip(labels, (1.0, condition), strict=True)
    ]
    argument = f"lr={format_value(rate)}"
    parts = setting.run("parts", **common, problems=[_valley(condition)],
                        optimizers=[text.format(rate=argument) for text in PARTS.values()])  # fmt: skip
    paths = planes.paths(parts, labels[1])
    order = dict(zip(parts.cells["optimizer"], PARTS, strict=True))
    return {
        "twins": pd.concat(pairs, ignore_index=True),
        "parts": paths.assign(part=paths["optimizer"].map(order)),
        "ground": planes.ground(twins, labels[1]),
    }


def gap(twins: pd.DataFrame, optimizer: str) -> float:
    """The largest distance between an optimizer's two paths at the same step, relative to that of start and minimum."""
    both = twins[twins["optimizer"].str.startswith(optimizer)].groupby("condition")
    one, other = (frame.set_index("step")[["x", "y"]] for _, frame in both)
    together = one.join(other.add_suffix("_other"), how="inner")
    away = np.hypot(together["x"] - together["x_other"], together["y"] - together["y_other"])
    return float(away.max() / np.hypot(*one.iloc[0]))


def first_step(parts: pd.DataFrame, part: str) -> float:
    """The length of the first step relative to the learning rate, as a mean over coordinates."""
    chosen = parts[parts["part"] == part].sort_values("step")
    steps = np.abs(np.diff(chosen[["x", "y"]].to_numpy()[:2], axis=0))
    return float(steps.mean() / chosen["lr"].iloc[0])


def evaluate(tables: Tables) -> list[Measurement]:
    """The distance of the paths on the two valleys, and the length of the first step with and without correction."""
    longer = (1 - BETAS[0]) / math.sqrt(1 - BETAS[1])
    return [
        exact("distance of Adam's paths on the twin valleys", gap(tables["twins"], "adam"), (0, _EPSILON), 0),
        exact("distance of SGD's paths on the twin valleys", gap(tables["twins"], "sgd"), (_DIFFERENT, math.inf)),
        exact("first step of Adam / rate", first_step(tables["parts"], "Adam"), around(1, 1e-6), 1),
        exact("first step without bias correction / rate", first_step(tables["parts"], "no bias correction"),
              around(longer, 1e-6), longer),
    ]  # fmt: skip


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws both optimizers on the twin valleys, the paths of Adam's parts, and the lengths of their first steps."""
    twins, parts = tables["twins"], tables["parts"]
    condition = twins["condition"].max()
    figure, (adam, sgd, moments, steps) = slide(
        "Adam rescales each coordinate: the same path on a valley and on its rescaled twin",
        f"½(x² + y²) and ½(x² + {condition:g} y²), without noise, from one start; contours of the second one",
        measurements, 4, size=(3.0, 3.0), columns=4,
    )  # fmt: skip
    for ax, optimizer, measurement in ((adam, "adam", measurements[0]), (sgd, "sgd", measurements[1])):
        contours(ax, tables["ground"], levels=8)
        here = twins[twins["optimizer"].str.startswith(optimizer)]
        for (value, points), color in zip(here.groupby("condition"), (style.SKY, style.VERMILLION), strict=True):
            wide = {"linewidth": 4, "marker": ""} if float(str(value)) == 1 else {"linewidth": 1.2, "markersize": 3}
            path(ax, points, color, f"½(x² + {value:g} y²)".replace("1 y", "y"), **wide)
        name = "Adam" if optimizer == "adam" else "SGD"
        ax.set(xlabel="x", ylabel="y", title=heading(f"{name}: distance of its paths", measurement))
        ax.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none")
    contours(moments, tables["ground"], levels=8)
    looks = zip(PARTS, (style.VERMILLION, style.BLUE, style.GREEN, style.INK), strict=True)
    for part, color in looks:
        points = parts[parts["part"] == part]
        path(moments, points, color, part, markersize=2.5, linewidth=1.1)
        if part == "first moment only":
            continue  # its step is proportional to the gradient
        lengths = points[["x", "y"]].diff().abs().mean(axis=1) / points["lr"]
        steps.plot(points["step"].iloc[1:31], lengths.iloc[1:31], color=color, label=part)
    moments.set(xlabel="x", ylabel="y", title="Paths of Adam's parts")
    moments.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none", fontsize=8.5)
    steps.set(xlabel="step", ylabel="mean length by coordinate / rate", ylim=(0, None))
    steps.set_title(heading("First step without correction", measurements[3]))
    steps.legend(loc="upper right", fontsize=8.5)
    return figure


EXPERIMENT = Experiment(
    name="adam",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "First two panels: Adam's paths on a round bowl and on a narrow valley (where one coordinate's gradient is "
        "larger) are the same; SGD's paths differ. Third: each moment alone, at Adam's learning rate. The first "
        "moment alone is momentum, whose step is proportional to the gradient, so that it leaves the picture; the "
        "second moment alone takes a straight path. Right: without bias correction, the first steps are too long."
    ),
    limits={"condition": (2, math.inf)},
    full={"condition": 100.0, "rate": 0.1, "steps": 350},
    quick={"steps": 200},
)
