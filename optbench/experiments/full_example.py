"""The lecture's training of its network (SGD, batches of 100, ten epochs), and the gain from tuning the rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from optbench.experiments.arms import by_seed, dots, fit_logarithmic, lines, run_curves, seeds_text
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement, estimate


def measure(setting: Setting) -> Tables:
    """`epochs`: losses and errors at the end of each epoch; `final`: the test errors of tuned and untuned runs;
    `printed`: the output of the lecture's code, as means over seeds at each epoch.
    """
    size = setting.size
    results = setting.run(
        "sgd", problems=[f"mnist_cnn[data={size['data']}]"], optimizers=["sgd"], batch_sizes=[size["batch_size"]],
        run_budget=f"{size['epochs']}epochs", evaluations=size["epochs"], seeds=size["seeds"],
        tuning_worth=float(size["trials"]), tuning_pruner="none",
    )  # fmt: skip
    curves = run_curves(results.curves)
    epoch = (curves["cost"] * size["epochs"] / results.cells["run_budget"].iloc[0]).round().astype(int)
    epochs = curves.assign(epoch=epoch, valid_error=1 - curves["valid_metric"])
    runs = results.runs.assign(test_error=1 - results.runs["test_metric"], target=results.cells["target"].iloc[0])
    shared = ["tuned", "lr", "seed"]
    printed = epochs.groupby(["tuned", "lr", "epoch"])[["train_loss", "valid_loss", "valid_error"]].mean()
    return {
        "epochs": epochs[[*shared, "epoch", "step", "train_loss", "valid_loss", "valid_error"]],
        "final": runs[["problem", "batch_size", *shared, "status", "train_loss", "test_loss", "test_error", "target"]],
        "printed": printed.reset_index(),
    }


def evaluate(tables: Tables) -> list[Measurement]:
    """Whether the loss falls, the network reaches its target, and tuning the rate improves it."""
    epochs, final = tables["epochs"], tables["final"]
    ends = epochs.sort_values("epoch").groupby(["tuned", "seed"])["train_loss"].agg(["first", "last"])
    fall = (ends["last"] / ends["first"]).unstack("tuned")
    errors = by_seed(final, "test_error", "tuned")
    wanted = 1 - final["target"].iloc[0]
    return [
        estimate("training loss, end / start, at torch's own rate", fall[False], (0.0, 1.0), logarithmic=True),
        estimate("test error with a tuned rate", errors[True], (0.0, wanted)),
        estimate("test error, tuned − at torch's own rate", errors[True] - errors[False], (-math.inf, 0.0)),
    ]


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws loss and error at each epoch, and the test errors."""
    epochs, final = tables["epochs"], tables["final"]
    n = epochs["epoch"].max()
    figure, (left, middle, right) = slide(
        "The lecture's MNIST example: SGD, and the gain from tuning its rate",
        f"{final['problem'].iloc[0]}, batch {final['batch_size'].iloc[0]}, {n} epochs, {seeds_text(final)} (thin lines "
        "and dots), bars: 95 %",
        measurements, 3,
    )  # fmt: skip
    rates = final.groupby("tuned")["lr"].first()
    arms = [(False, f"torch's own rate, {rates[False]:.3g}"), (True, f"tuned rate, {rates[True]:.3g}")]
    for color, (tuned, label) in zip(COLORS, arms, strict=False):
        part = epochs[epochs["tuned"] == tuned]
        lines(left, part, "epoch", "train_loss", color, label, marker="o", markersize=4)
        lines(middle, part, "epoch", "valid_error", color, label, marker="o", markersize=4)
    fit_logarithmic(left.yaxis, epochs["train_loss"])
    fit_logarithmic(middle.yaxis, epochs["valid_error"])
    left.set(xlabel="epoch", ylabel="training loss")
    left.set_title(heading("Training loss at torch's own rate, end / start", measurements[0]))
    middle.set(xlabel="epoch", ylabel="validation error")
    middle.set_title(heading("Test error with a tuned rate", measurements[1]))
    for ax in (left, middle):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    left.legend(loc="lower left")
    samples = [(label.replace(", ", "\n"), final.loc[final["tuned"] == tuned, "test_error"]) for tuned, label in arms]
    dots(right, samples)
    right.set(ylabel="test error", ylim=(0, None))
    right.set_title(heading("Test error, tuned − torch's own rate", measurements[2]))
    return figure


EXPERIMENT = Experiment(
    name="full-example",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "The lecture's network trained with plain SGD. Left: training loss (on 512 examples) at the end of each epoch. "
        "Middle: error on the validation set. Right: test error after the last epoch. Blue: the default learning rate "
        "of torch.optim.SGD; red: the tuned learning rate, which was chosen on the validation set with other seeds."
    ),
    full={"data": "mnist", "batch_size": 100, "epochs": 10, "trials": 8, "seeds": 5},
    quick={"data": "digits", "trials": 4, "seeds": 3},
)
