"""Depth with and without shortcuts: errors of plain and residual networks, and their blocks at the start.

After He et al., "Deep residual learning" (2015), section 4.2: momentum 0.9, batches of 128, augmented images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.experiments.arms import by_seed, dots, lines, run_curves, seeds_text, with_parameters
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.forward import first_images, fresh_model, record_activations
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement, estimate, exact
from optbench.plots import style
from optbench.selection import format_value

#: The number of labels of three lines that fit below a panel.
_PLACES = 6
#: The arms (shortcut, initialisation) that are trained at all depths, and those only at the greatest depth.
_EVERYWHERE, _DEEPEST = (("none", "he"), ("pad", "he")), (("conv", "he"), ("pad", "identity"))


def measure(setting: Setting) -> Tables:
    """`errors`: during training; `final`: at its end; `start`: the distance of blocks from the identity."""
    size = setting.size
    common = f"data={size['data']},width={size['width']}"
    deepest = max(size["depths"])
    arms = [(depth, *arm) for depth in size["depths"] for arm in _EVERYWHERE] + [(deepest, *arm) for arm in _DEEPEST]
    problems = {arm: _problem(common, *arm) for arm in arms}
    results = setting.run(
        "train", problems=list(problems.values()), optimizers=[f"momentum[lr={format_value(size['rate'])}]"],
        batch_sizes=[size["batch_size"]], run_budget=size["budget"], evaluations=size["evaluations"],
        seeds=size["seeds"], tuning_worth=0,
    )  # fmt: skip
    defaults = {"data": size["data"], "depth": 20, "width": 16, "shortcut": "pad", "init": "he"}
    curves = with_parameters(run_curves(results.curves), **defaults)
    runs = with_parameters(results.runs, **defaults)
    shared = ["data", "depth", "width", "shortcut", "init", "optimizer", "batch_size", "seed", "status"]
    errors = curves.assign(valid_error=1 - curves["valid_metric"])
    final = runs.assign(valid_error=1 - runs["valid_metric"], test_error=1 - runs["test_metric"])
    return {
        "final": final[[*shared, "train_loss", "valid_error", "test_error"]],
        "errors": errors[[*shared, "cost", "step", "train_loss", "valid_error"]],
        "start": _start(setting, common, deepest),
    }


def _problem(common: str, depth: int, shortcut: str, init: str) -> str:
    return f"cifar_resnet[{common},depth={depth},shortcut={shortcut},init={init}]"


def _start(setting: Setting, common: str, depth: int) -> pd.DataFrame:
    """‖output − input‖ / ‖input‖ of each block that keeps its size, at the start and in evaluation mode."""
    import torch

    images = first_images(_problem(common, depth, "pad", "he"), setting.source, setting.device)
    rows = []
    for shortcut, init in (*_EVERYWHERE, *_DEEPEST):
        model = fresh_model(_problem(common, depth, shortcut, init), 0, setting.device)
        blocks = {name: module for name, module in model.named_modules() if type(module).__name__ == "Block"}
        with torch.no_grad(), record_activations(blocks) as kept:
            model(images)
        rows += [
            {"shortcut": shortcut, "init": init, "block": place, "change": ((after - x).norm() / x.norm()).item()}
            for place, (x, after) in enumerate(kept.values(), 1)
            if x.shape == after.shape
        ]
    return pd.DataFrame(rows)


def evaluate(tables: Tables) -> list[Measurement]:
    """The effect of depth on loss and error of plain and residual networks, and the change by a block at the start."""
    final, start = tables["final"], tables["start"]
    shallow, deep = final["depth"].min(), final["depth"].max()
    plainly = final[final["init"] == "he"]
    measurements = []
    for shortcut, name, accepted in (("none", "plain", (0.0, math.inf)), ("pad", "residual", (-math.inf, 0.0))):
        depths = plainly[plainly["shortcut"] == shortcut]
        for column, label in (("train_loss", "training loss"), ("valid_error", "validation error")):
            wide = by_seed(depths, column, "depth")
            quantity = f"{label}, depth {deep} − depth {shallow}, {name}"
            measurements.append(estimate(quantity, wide[deep] - wide[shallow], accepted))
    wide = by_seed(plainly[plainly["depth"] == deep], "valid_error", "shortcut")
    measurements.append(
        estimate(f"validation error, plain − residual, depth {deep}", wide["none"] - wide["pad"], (0.0, math.inf))
    )
    identity = start.loc[start["init"] == "identity", "change"].max()
    measurements.append(exact("change of a block's input at the start, init=identity", identity, (0.0, 0.0), 0.0))
    return measurements


def _label(shortcut: Any, init: Any) -> str:
    return "plain" if shortcut == "none" else f"residual ({'identity' if init == 'identity' else shortcut})"


def _place(shortcut: str, init: str, depth: str, *, short: bool) -> str:
    """The label of a tick: on three lines, or as one short line that is rotated if there are many."""
    if not short:
        return f"{_label(shortcut, init).replace(' ', chr(10))}\n{depth}"
    name = "plain" if shortcut == "none" else "identity" if init == "identity" else shortcut
    return f"{name} {depth}"


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws training loss and validation error during training, and the errors at its end."""
    errors, final = tables["errors"], tables["final"]
    first = final.iloc[0]
    figure, (left, middle, right) = slide(
        "Depth: plain networks get worse, residual networks get better",
        f"cifar_resnet on {first['data']}, width {first['width']}, {first['optimizer']}, batch {first['batch_size']}, "
        f"{errors['cost'].max():,.0f} examples, {seeds_text(final)} (thin lines and dots)",
        measurements, 3, size=(3.8, 3.2),
    )  # fmt: skip
    colors: dict[Any, str] = {("none", "he"): COLORS[1], ("pad", "he"): COLORS[0], ("conv", "he"): COLORS[2],
              ("pad", "identity"): COLORS[4]}  # fmt: skip
    depths = sorted(final["depth"].unique())
    dash = dict(zip(depths, cycle((style.DOTTED, style.SOLID, style.DASHED, style.DASHDOT))))
    ordered = errors.sort_values("depth", kind="stable")
    for (shortcut, init, depth), run in ordered.groupby(["shortcut", "init", "depth"], sort=False):
        if (shortcut, init) in _EVERYWHERE:
            label, color = f"{_label(shortcut, init)}, {depth}", colors[shortcut, init]
            lines(left, run, "cost", "train_loss", color, label, dash[depth])
            lines(middle, run, "cost", "valid_error", color, label, dash[depth])
    left.set(xlabel="examples seen", ylabel="training loss")
    middle.set(xlabel="examples seen", ylabel="validation error")
    for ax in (left, middle):
        style.cost_ticks(ax.xaxis)
    left.legend(loc="upper right", title="shortcut, depth")
    left.set_title(heading(f"Plain: training loss, {depths[-1]} − {depths[0]} layers", measurements[0]))
    middle.set_title(heading(f"Validation error of {depths[-1]}, plain − residual", measurements[4]))
    groups = list(final.groupby(["shortcut", "init", "depth"], sort=False))
    many = len(groups) > _PLACES
    samples = [(_place(*map(str, arm), short=many), run["valid_error"]) for arm, run in groups]
    dots(right, samples, [colors[s, i] for (s, i, _), _ in groups], rotation=60 if many else 0)
    right.tick_params(axis="x", labelsize=8)
    right.set(ylabel="validation error at the end")
    right.set_title(heading(f"Residual: validation error, {depths[-1]} − {depths[0]} layers", measurements[3]))
    return figure


EXPERIMENT = Experiment(
    name="residual",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Networks without shortcuts (plain) and with shortcuts, at several depths. Left: training loss (on 512 "
        "examples); middle: validation error; right: validation error at the end. For the greatest depth, also with "
        "1 × 1 convolutions as shortcuts where the size changes (conv), and with blocks that start as the identity "
        "(identity)."
    ),
    full={
        "data": "cifar10",
        "depths": (8, 20, 32),
        "width": 16,
        "rate": 0.1,
        "batch_size": 128,
        "budget": "30epochs",
        "evaluations": 15,
        "seeds": 3,
    },
    quick={
        "data": "digits",
        "depths": (8, 20),
        "width": 8,
        "rate": 0.03,
        "budget": "6epochs",
        "batch_size": 50,
        "evaluations": 6,
    },
)
