"""Batch normalisation: steps to the same accuracy at the original and at larger rates, dropout, and shuffling.

The predicted ratios are from Ioffe and Szegedy, "Batch normalization" (2015), figure 3: the steps of an Inception
network on ImageNet to the highest accuracy of the network without normalisation.
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
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement, estimate
from optbench.results.load import Results
from optbench.selection import format_value
from optbench.statistics.survival import first_crossing

#: Millions of steps in the paper's table, by the factor of the learning rate of the network without normalisation.
TABLE = {1.0: 13.3, 5.0: 2.1, 30.0: 2.7}
_TABLE_WITHOUT = 31.0
#: The name of the arm without normalisation.
WITHOUT = "none"


def measure(setting: Setting) -> Tables:
    """`curves` and `steps` of both networks at multiples of the rate that was tuned without normalisation; `final`:
    test errors with and without dropout, and with and without shuffling.
    """
    size = setting.size
    parts = [
        _run_network(setting, "mnist", f"mnist_cnn[data={size['data']}", size["budget"]),
        _run_network(
            setting, "images", f"cifar_resnet[data={size['images']},depth={size['depth']},width={size['width']}",
            size["images_budget"],
        ),
    ]  # fmt: skip
    curves = pd.concat(parts, ignore_index=True)
    return {"steps": steps(curves), "curves": curves, "final": _final(setting, curves)}


def _run_network(setting: Setting, part: str, problem: str, budget: str) -> pd.DataFrame:
    """The curves of a network without normalisation at its best rate, and with it at multiples of that rate."""
    size = setting.size
    common: dict[str, Any] = {
        "batch_sizes": [size["batch_size"]], "run_budget": budget, "evaluations": size["evaluations"],
        "seeds": size["seeds"],
    }  # fmt: skip
    base = setting.run(
        f"{part}-none", **common, problems=[f"{problem},norm=none]"], optimizers=[size["optimizer"]],
        tuning_worth=float(size["trials"]), tuning_pruner="none",
    )  # fmt: skip
    rate = float(base.cells["lr_tuned"].iloc[0])
    rates = ",".join(format_value(rate * factor) for factor in TABLE)
    normal = setting.run(
        f"{part}-batch", **common, problems=[f"{problem},norm=batch]"], tuning_worth=0,
        optimizers=[f"{size['optimizer']}[lr=[{rates}]]"],
    )  # fmt: skip
    curves = pd.concat([
        _curves(base, tuned=True).assign(arm=WITHOUT, factor=1.0),
        _curves(normal).assign(arm="batch", factor=lambda frame: (frame["lr"] / rate).round(6)),
    ])  # fmt: skip
    data = with_parameters(curves, data="mnist" if part == "mnist" else "cifar10")["data"]
    return curves.assign(network=f"{problem.partition('[')[0]} on " + data).drop(columns="problem")


def _curves(results: Results, tuned: bool | None = None) -> pd.DataFrame:
    columns = ["problem", "optimizer", "batch_size", "lr", "seed", "status", "step", "valid_metric", "valid_loss"]
    return run_curves(results.curves, tuned)[columns]


def steps(curves: pd.DataFrame) -> pd.DataFrame:
    """The steps of each run to the accuracy that every run without normalisation reached, infinite if it missed it:
    network arm factor seed target steps.
    """
    rows = []
    for network, part in curves.groupby("network", sort=False):
        best = part[part["arm"] == WITHOUT].groupby("seed")["valid_metric"].max()
        target = float(best.min())
        for (arm, factor, seed), run in part.groupby(["arm", "factor", "seed"], sort=False):
            ok = (run["status"] == "ok").all()
            step = first_crossing(list(run["step"]), list(run["valid_metric"]), target, True) if ok else None
            rows.append({"network": network, "arm": arm, "factor": factor, "seed": seed, "target": target,
                         "steps": math.inf if step is None else step})  # fmt: skip
    return pd.DataFrame(rows)


def _final(setting: Setting, curves: pd.DataFrame) -> pd.DataFrame:
    """Test errors of the first network with and without normalisation, dropout and shuffling, each at the rate that was
    tuned without normalisation.
    """
    size = setting.size
    rate = curves.loc[(curves["arm"] == WITHOUT) & (curves["network"] == curves["network"].iloc[0]), "lr"].iloc[0]
    name, half = f"mnist_cnn[data={size['data']}", format_value(size["dropout"])
    results = setting.run(
        "final", batch_sizes=[size["batch_size"]], run_budget=size["budget"], evaluations=1, seeds=size["seeds"],
        tuning_worth=0, optimizers=[f"{size['optimizer']}[lr={format_value(float(rate))}]"],
        problems=[f"{name},norm=[none,batch],dropout=[0.0,{half}]]", f"{name},norm=[none,batch],order=sequential]"],
    )  # fmt: skip
    runs = with_parameters(results.runs, norm="none", dropout=0.0, order="shuffled")
    runs = runs.assign(test_error=1 - runs["test_metric"])
    return runs[["problem", "norm", "dropout", "order", "lr", "seed", "status", "test_error"]]


def evaluate(tables: Tables) -> list[Measurement]:
    """The ratios of steps, predicted by those of the paper, and the test errors that dropout and shuffling save."""
    measurements = []
    for network, part in tables["steps"].groupby("network", sort=False):
        wide = part.pivot(index="seed", columns=["arm", "factor"], values="steps")
        without = wide[WITHOUT, 1.0]
        for factor, million in TABLE.items():
            name = f"steps without / with, rate × {factor:g}, {network}"
            ratio = without / wide["batch", factor]
            measurements.append(
                estimate(name, ratio, (1.0, math.inf), _TABLE_WITHOUT / million, logarithmic=True)
                if (ratio > 0).all()
                else bound_of_misses(name, ratio, _TABLE_WITHOUT / million)
            )
    dropout, order = worth(tables["final"])
    measurements.append(estimate("test error that dropout saves, without − with", dropout, (0.0, math.inf)))
    measurements.append(estimate("test error that shuffling saves, with normalisation", order, (0.0, math.inf)))
    return measurements


def bound_of_misses(name: str, ratio: pd.Series, predicted: float) -> Measurement:
    """The measurement if some runs miss the target, which counts as infinitely many steps. If all runs do, the claim
    does not hold; otherwise it is undecided.
    """
    bound = 0.0 if (ratio == 0).all() else math.nan
    return Measurement(name, bound, bound, bound, (1.0, math.inf), predicted, len(ratio))


def worth(final: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """By seed, the test error that dropout saves (without normalisation minus with it), and that shuffling saves."""
    shuffled = final[final["order"] == "shuffled"].pivot(index="seed", columns=["norm", "dropout"], values="test_error")
    strength = final["dropout"].max()
    saved = {norm: shuffled[norm, 0.0] - shuffled[norm, strength] for norm in ("none", "batch")}
    plain = final[(final["dropout"] == 0) & (final["norm"] == "batch")]
    orders = by_seed(plain, "test_error", "order")
    return saved["none"] - saved["batch"], orders["sequential"] - orders["shuffled"]


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the accuracy during training of both networks, and the test errors."""
    curves, table, final = tables["curves"], tables["steps"], tables["final"]
    networks = list(curves["network"].unique())
    first = curves.iloc[0]
    figure, axes = slide(
        "Batch normalisation: larger rates, fewer steps",
        f"{first['optimizer'].partition('[')[0]}, batch {first['batch_size']}, {seeds_text(curves)} (thin lines and "
        "dots); rate × 1: the best rate without normalisation",
        measurements, len(networks) + 1, size=(3.7, 3.2),
    )  # fmt: skip
    for place, (ax, network) in enumerate(zip(axes, networks, strict=False)):
        part = curves[curves["network"] == network]
        for color, ((arm, factor), run) in zip(
            cycle(COLORS), part.groupby(["arm", "factor"], sort=False), strict=False
        ):
            label = "without" if arm == WITHOUT else f"with, rate × {factor:g}"
            lines(ax, run, "step", "valid_metric", color, label)
        target = table.loc[table["network"] == network, "target"].iloc[0]
        ax.axhline(target, color=COLORS[6], linewidth=0.9, linestyle="--")
        top = min(1.0, 1.1 * float(part["valid_metric"].max()))
        ax.set(xlabel="step", ylabel="validation accuracy", ylim=(max(0.0, 2.5 * target - 1.5), top))
        shown = measurements[len(TABLE) * place + 1]
        ax.set_title(heading(f"{network}: steps without / with, rate × 5", shown))
    arms = [
        ("without", "none", 0.0, "shuffled"), ("+ dropout", "none", None, "shuffled"),
        ("with", "batch", 0.0, "shuffled"), ("+ dropout", "batch", None, "shuffled"),
        ("not shuffled", "batch", 0.0, "sequential"),
    ]  # fmt: skip
    strength = final["dropout"].max()
    samples = []
    for label, norm, dropout, order in arms:
        chosen = (final["norm"] == norm) & (final["order"] == order)
        chosen &= final["dropout"] == (strength if dropout is None else dropout)
        samples.append((label, final.loc[chosen, "test_error"]))
    dots(axes[-1], samples, [COLORS[0], COLORS[0], COLORS[1], COLORS[1], COLORS[1]], rotation=20)
    axes[-1].set(ylabel="test error", ylim=(0, None))
    # Curves may be anywhere in a panel, so the legend is below, next to the verdict.
    width, height = figure.get_size_inches()
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="lower right", bbox_to_anchor=(1 - 0.2 / width, 0.05 / height),
        ncols=4, borderaxespad=0,
    )  # fmt: skip
    axes[-1].set_title(heading("Error that dropout saves, without − with", measurements[-2]))
    return figure


EXPERIMENT = Experiment(
    name="batch-norm",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Left and middle: validation accuracy during training, without normalisation at its tuned learning rate, and "
        "with normalisation at 1, 5 and 30 times that rate. Dashed: the accuracy that every run without normalisation "
        "reached. The steps to that accuracy are compared (predicted: the ratios in the paper). Right: test errors at "
        "the end, also with dropout, and with the examples in the same order in every epoch."
    ),
    limits={"dropout": (0.01, 0.99)},
    full={
        "data": "mnist",
        "budget": "3epochs",
        "images": "cifar10",
        "depth": 8,
        "width": 16,
        "images_budget": "10epochs",
        "optimizer": "sgd",
        "batch_size": 100,
        "trials": 6,
        "dropout": 0.5,
        "evaluations": 30,
        "seeds": 5,
    },
    quick={
        "data": "digits",
        "budget": "3epochs",
        "images": "digits",
        "width": 8,
        "images_budget": "3epochs",
        "trials": 3,
        "batch_size": 50,
        "evaluations": 10,
        "seeds": 3,
    },
)
