"""The family of optimizers at equal cost: on a valley, on Rosenbrock's function, and on networks.

Every closure call of a line search is charged, so L-BFGS takes fewer steps than the others at the same cost.
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

from optbench.experiments import planes
from optbench.experiments.arms import by_seed, fit_logarithmic, run_curves, seeds_text
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import RC, contours, heading, path, slide
from optbench.experiments.verdict import Measurement, estimate, exact
from optbench.optimizers.builtin import BUILT_IN
from optbench.plots import style

FUNCTIONS = {"Valley": "quadratic_valley[examples=1,noise=0,rotated=true]", "Rosenbrock": "rosenbrock"}
SECOND_ORDER = "lbfgs"
#: A function counts as solved at this fraction of its value at the start.
_SOLVED = 1e-6


def measure(setting: Setting) -> Tables:
    """`functions`: values by cost; `paths` and `grounds` of the functions; `networks`: losses of final runs, and their
    `curves`. All optimizers are tuned at the same cost.
    """
    size = setting.size
    common: dict[str, Any] = {"optimizers": list(BUILT_IN)}
    frames: dict[str, list[pd.DataFrame]] = {"functions": [], "paths": [], "grounds": []}
    for name, problem in FUNCTIONS.items():
        results = setting.run(
            name.lower(), problems=[problem], run_budget=f"{size['steps']}examples", evaluations=size["evaluations"],
            **{**planes.PLANE, **common, "tuning_worth": size["worth"], "tuning_pruner": "none"},
        )  # fmt: skip
        label = results.cells["problem"].iloc[0]
        curves = run_curves(results.curves, tuned=True)
        frames["functions"].append(
            curves[["optimizer", "lr", "step", "cost"]].assign(function=name, value=curves["valid_metric"])
        )
        paths = planes.paths(results, label)
        frames["paths"].append(paths[paths["tuned"].astype(bool)].assign(function=name))
        frames["grounds"].append(planes.ground(results, label).assign(function=name))
    results = setting.run(
        "networks", **common, problems=list(size["networks"]), batch_sizes=[size["batch_size"]], seeds=size["seeds"],
        run_budget=f"{size['epochs']}epochs", tuning_worth=size["worth"],
        tuning_pruner="none", evaluations=10,
    )  # fmt: skip
    shared = ["problem", "optimizer", "batch_size", "seed", "lr"]
    runs = results.runs[results.runs["tuned"].astype(bool)]
    networks = runs[[*shared, "status", "steps", "cost", "valid_loss", "test_loss", "test_metric"]]
    curves = run_curves(results.curves, tuned=True)[[*shared, "step", "cost", "valid_loss"]]
    return {
        "networks": networks.reset_index(drop=True),
        "curves": curves.reset_index(drop=True),
        **{name: pd.concat(parts, ignore_index=True) for name, parts in frames.items()},
    }


def evaluate(tables: Tables) -> list[Measurement]:
    """L-BFGS against the best other optimizer: the cost to solve each function, and the test losses on networks."""
    measurements = []
    for name, rows in tables["functions"].groupby("function", sort=False):
        measurements.append(_race(f"{name}: gradients to {_SOLVED:g} of the start, L-BFGS / best other", rows))
    for problem, runs in tables["networks"].groupby("problem", sort=False):
        losses = by_seed(runs.assign(loss=runs["test_loss"].where(runs["status"] == "ok")), "loss", "optimizer")
        rival = best_other(runs)
        name = f"{problem}: test loss of L-BFGS / of {rival}"
        measurements.append(estimate(name, losses[SECOND_ORDER] / losses[rival], (1.0, math.inf), logarithmic=True))
    return measurements


def _race(quantity: str, rows: pd.DataFrame) -> Measurement:
    """The ratio of the costs to solve the function; a bound on it if one of the two does not solve it in its budget."""
    costs, spent = cost_to(rows), rows["cost"].max()
    own, other = float(costs[SECOND_ORDER]), float(costs.drop(SECOND_ORDER).min())
    accepted = (0.0, 1.0)
    if math.isfinite(own) and math.isfinite(other):
        return exact(quantity, own / other, accepted)
    low, high = math.nan, math.nan
    if math.isfinite(own):
        low, high = 0.0, own / spent
    elif math.isfinite(other):
        low, high = spent / other, math.inf
    return Measurement(quantity, math.nan, low, high, accepted)


def cost_to(values: pd.DataFrame) -> pd.Series:
    """By optimizer, the cost at the first evaluation with at most `_SOLVED` times the value at the start; infinite if
    there is none, so that two misses have no ratio.
    """
    aim = _SOLVED * values.loc[values["step"] == 0, "value"].max()
    reached = values[values["value"] <= aim].groupby("optimizer")["cost"].min()
    return reached.reindex(values["optimizer"].unique(), fill_value=math.inf)


def best_other(runs: pd.DataFrame) -> str:
    """The first-order optimizer with the lowest mean validation loss; a failed seed counts as infinite."""
    loss = runs["valid_loss"].where(runs["status"] == "ok", math.inf).fillna(math.inf)
    return str(loss.groupby(runs["optimizer"]).mean().drop(SECOND_ORDER).idxmin())


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Paths and values of the functions, and losses of the first network along cost and at the end."""
    networks, functions = tables["networks"], tables["functions"]
    looks = style.looks(networks["optimizer"])
    problem = networks["problem"].iloc[0]
    shown = networks[networks["problem"] == problem]
    figure, axes = slide(
        "Ten optimizers, each tuned, at equal cost",
        f"functions without noise, {functions['cost'].max():g} gradients; {problem}, batch "
        f"{shown['batch_size'].iloc[0]}, {seeds_text(shown)}; line searches are charged",
        measurements, 6, size=(3.6, 3.0),
    )  # fmt: skip
    for place, name in enumerate(FUNCTIONS):
        _paths(axes[place], tables, name, looks)
        _values(axes[place + 3], functions[functions["function"] == name], looks)
        axes[place].set_title(f"{name}: paths")
        axes[place + 3].set_title(heading(f"{name}: cost, L-BFGS / best other", measurements[place]))
    _ends(axes[2], shown, looks)
    axes[2].set_title("Network: test loss by seed, mean")
    curves = tables["curves"][tables["curves"]["problem"] == problem]
    for name, look in looks.items():
        mine = (
            curves[(curves["optimizer"] == name) & (curves["step"] > 0)].groupby("step")[["cost", "valid_loss"]].mean()
        )
        axes[5].plot(mine["cost"], mine["valid_loss"], color=look.color, linestyle=look.dash, linewidth=1.4)
    fit_logarithmic(axes[5].yaxis, curves.loc[curves["step"] > 0, "valid_loss"])
    style.cost_ticks(axes[5].xaxis)
    axes[5].set(xlabel="cost / example gradients", ylabel="validation loss")
    axes[5].set_title(heading(f"Network: L-BFGS / {best_other(shown)}", measurements[len(FUNCTIONS)]))
    return figure


def _paths(ax: Axes, tables: Tables, function: str, looks: dict[str, style.Look]) -> None:
    contours(ax, tables["grounds"][tables["grounds"]["function"] == function], levels=8)
    paths = tables["paths"][tables["paths"]["function"] == function]
    for name, points in paths.groupby("optimizer"):
        look = looks[str(name)]
        path(ax, points, look.color, str(name), linestyle=look.dash, marker="", linewidth=1.2)
    ax.set(xlabel="x", ylabel="y")


def _values(ax: Axes, rows: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    for name, values in rows.groupby("optimizer"):
        look = looks[str(name)]
        ax.plot(values["cost"], values["value"].clip(lower=1e-20), color=look.color, linestyle=look.dash, linewidth=1.4)
    fit_logarithmic(ax.yaxis, rows["value"].clip(1e-20, 1e4))
    ax.set(xlabel="cost / gradients", ylabel="excess over the minimum")


def _ends(ax: Axes, runs: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    """Draws the optimizers as rows, best mean at the top, with the line styles of the other panels."""
    means = runs.groupby("optimizer")["test_loss"].mean().sort_values(ascending=False)
    for place, name in enumerate(means.index):
        look, mine = looks[str(name)], runs.loc[runs["optimizer"] == name, "test_loss"]
        ax.plot(mine, np.full(len(mine), place), "o", color=look.color, markersize=4, alpha=0.5, markeredgewidth=0)
        ax.plot(means.iloc[place], place, look.marker, color=look.color, markersize=8)
        ax.plot([0.01, 0.09], [place] * 2, color=look.color, linestyle=look.dash, transform=ax.get_yaxis_transform())
    fit_logarithmic(ax.xaxis, runs["test_loss"])
    # Space at the left for the line styles of the other panels.
    low, high = ax.get_xlim()
    ax.set_xlim(low / (high / low) ** 0.15, high)
    ax.set_yticks(range(len(means)), [str(name) for name in means.index])
    ax.set(xlabel="test loss", ylim=(-0.7, len(means) - 0.3))


EXPERIMENT = Experiment(
    name="family",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Top: paths on a valley and on Rosenbrock's function, and the test loss of a network by optimizer, best at the "
        "top, with the line style of each optimizer. Bottom: value against the number of gradients, including those "
        "of line searches, and the network's validation loss against cost. All learning rates are tuned at the same "
        "cost."
    ),
    full={
        "networks": ("mlp[data=mnist]", "mnist_cnn[data=mnist]"),
        "steps": 390,
        "worth": 16,
        "evaluations": 195,
        "epochs": 2.0,
        "batch_size": 100,
        "seeds": 5,
    },
    quick={
        "networks": ("mlp[data=digits]",),
        "worth": 6,
        "evaluations": 130,
        "epochs": 5,
        "batch_size": 50,
        "seeds": 4,
    },
)
