"""A learning rate and a momentum for each layer against one for all layers, tuned by Optuna at the same cost.

More hyperparameters help only if the tuning finds good values for them: the same number of trials is spread over six
dimensions instead of two. Each network is tuned separately, so that the networks are the sample, because results vary
more between tunings than between seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.experiments.arms import fit_logarithmic, with_parameters
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import RC, heading, slide
from optbench.experiments.verdict import Measurement, estimate
from optbench.plots import style
from optbench.selection import format_value

_RATE = {"low": 1e-3, "high": 1e1}
_MOMENTUM = {"low": 0.0, "high": 0.99, "scale": "linear"}
_SEARCH: dict[str, Any] = {"lr": _RATE, "momentum": _MOMENTUM}
#: Patterns for the second and third linear layer of `mlp` with two hidden layers; the first layer is the remainder.
_LAYERS = {"middle": "3.*", "last": "5.*"}
OPTIMIZERS: dict[str, Any] = {
    "one": {"base": "momentum", "search": _SEARCH},
    "layers": {
        "base": "momentum",
        "search": _SEARCH,
        "groups": {name: {"parameters": [places], "search": _SEARCH} for name, places in _LAYERS.items()},
    },
}


def measure(setting: Setting) -> Tables:
    """`runs`: losses on fresh seeds by network and optimizer; `trials`: the best validation loss so far; `rates`."""
    size = setting.size
    widths = ",".join(str(size["width"] + 8 * place) for place in range(size["networks"]))
    results = setting.run(
        "groups", problems=[f"mlp[data={format_value(size['data'])},layers=2,hidden=[{widths}]]"],
        optimizers=list(OPTIMIZERS), optimizer=OPTIMIZERS, batch_sizes=[size["batch_size"]], seeds=size["seeds"],
        run_budget=f"{size['epochs']}epochs", tuning_worth=size["trials"], tuning_pruner="none", evaluations=4,
    )  # fmt: skip
    runs = with_parameters(results.runs[results.runs["tuned"].astype(bool)], hidden=32)
    trials = with_parameters(results.trials, hidden=32).sort_values(["hidden", "optimizer", "trial"])
    loss = trials["valid_loss"].where(trials["status"] == "ok")
    best = loss.fillna(math.inf).groupby([trials["hidden"], trials["optimizer"]]).cummin()
    columns = {f"{name}_lr": f"hp_{name}.lr" for name in _LAYERS}
    rates = runs.drop_duplicates(["hidden", "optimizer"])
    return {
        "runs": runs[["hidden", "optimizer", "seed", "status", "valid_loss", "test_loss", "test_metric"]],
        "rates": rates[["hidden", "optimizer", "lr"]].assign(
            momentum=rates["hp_momentum"], **{name: rates[column] for name, column in columns.items()}
        ),
        "trials": trials[["hidden", "optimizer", "trial"]].assign(
            best=best, cost=trials.groupby(["hidden", "optimizer"])["cost"].cumsum()
        ),
    }


def ratios(runs: pd.DataFrame) -> pd.Series:
    """By network, the mean test loss with rates by layer divided by that with one rate; missing if a seed failed."""
    loss = runs.assign(loss=runs["test_loss"].where(runs["status"] == "ok"))
    means = loss.groupby(["hidden", "optimizer"])["loss"].agg(lambda seeds: seeds.mean(skipna=False)).unstack()
    return means["layers"] / means["one"]


def evaluate(tables: Tables) -> list[Measurement]:
    """The test loss with rates by layer divided by that with one rate, over separately tuned networks."""
    name = "test loss, a rate for each layer / one for all"
    return [estimate(name, ratios(tables["runs"]), (0.0, 1.0), logarithmic=True)]


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the best loss during tuning, pairs of test losses, and the tuned rates."""
    runs, trials, rates = tables["runs"], tables["trials"], tables["rates"]
    names = {"one": "one rate and momentum", "layers": "rate and momentum per layer"}
    colors = {"one": style.BLUE, "layers": style.VERMILLION}
    networks, seeds = runs["hidden"].nunique(), runs["seed"].nunique()
    figure, (tuning, ends, chosen) = slide(
        "Parameter groups: a rate for each layer against one for all, at the same tuning budget",
        f"momentum, three layers, {networks} networks of {runs['hidden'].min()} to {runs['hidden'].max()} units, "
        f"{int(trials['trial'].max()) + 1} trials each, {seeds} fresh seeds",
        measurements, 3,
    )  # fmt: skip
    for name, rows in trials.groupby("optimizer", sort=False):
        wide = rows.pivot(index="trial", columns="hidden", values="best")
        tuning.plot(wide.index + 1, wide, color=colors[str(name)], linewidth=0.7, alpha=0.45)
        tuning.plot(wide.index + 1, wide.median(axis=1), color=colors[str(name)], label=names[str(name)])
    fit_logarithmic(tuning.yaxis, trials["best"])
    tuning.set(xlabel="trials", ylabel="best validation loss so far", title="Tuning: median of networks")
    tuning.legend(loc="upper right")
    means = runs.groupby(["hidden", "optimizer"])["test_loss"].mean().unstack()
    for one, layers in zip(means["one"], means["layers"], strict=True):
        ends.plot([0, 1], [one, layers], color=style.GRID, linewidth=1.2, zorder=1)
        ends.plot([0], [one], "o", color=colors["one"])
        ends.plot([1], [layers], "o", color=colors["layers"])
    ends.set_xticks([0, 1], ["one for all", "by layer"])
    ends.set(xlim=(-0.5, 1.5), ylabel="test loss, mean over seeds")
    ends.set_title(heading("Test loss, by layer / one for all", measurements[0]))
    places = ["lr", *(f"{name}_lr" for name in _LAYERS)]
    for optimizer, rows in rates.groupby("optimizer", sort=False):
        if optimizer == "layers":
            values = rows[places].to_numpy(dtype=float)
            chosen.plot(range(3), values.T, "o-", color=colors["layers"], linewidth=0.8, alpha=0.7)
        else:
            spread = np.linspace(0.9, 1.1, len(rows)) if len(rows) > 1 else np.ones(1)
            chosen.plot(spread, rows["lr"], "s", color=colors["one"], alpha=0.8)
    fit_logarithmic(chosen.yaxis, rates[places].to_numpy(dtype=float).ravel())
    chosen.set_xticks(range(3), ["first", "middle", "last"])
    chosen.set(
        xlim=(-0.4, 2.4), xlabel="layer (squares: one for all)", ylabel="tuned learning rate", title="Rates chosen"
    )
    return figure


EXPERIMENT = Experiment(
    name="parameter-groups",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Left: best validation loss found up to each trial; thin lines are networks. Middle: test loss on fresh seeds, "
        "one pair per network. Right: tuned learning rates. Both are tuned at the same cost, one in two dimensions and "
        "the other in six."
    ),
    full={
        "data": "mnist",
        "width": 32,
        "networks": 8,
        "batch_size": 100,
        "epochs": 2.0,
        "trials": 40,
        "seeds": 3,
    },
    quick={"data": "digits", "networks": 5, "batch_size": 50, "epochs": 4.0, "trials": 24, "seeds": 2},
)
