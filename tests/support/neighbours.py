"""Chosen rates beside a factor of 3 and 10 below and above them, on problems that the preset `quick` does not have.

    python -m tests.support.neighbours FOLDER SEEDS [PROBLEM]…

Each of the optimizers is tuned on each problem at the budget of `quick`, K = 4. The chosen rate and its neighbours are
trained on the same fresh seeds. The command prints, for each cell, the mean test loss at the chosen rate over the
lowest mean of the five rates, and the median and the largest of these ratios.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import optbench

PROBLEMS = ("autoencoder", "char_rnn", "logistic_regression")
OPTIMIZERS = ("sgd", "momentum", "adam", "adagrad", "rmsprop")
FACTORS = (0.1, 1 / 3, 3.0, 10.0)
BATCH_SIZE, WORTH = 32, 4


def mean_losses(runs: pd.DataFrame) -> pd.Series:
    """Returns the mean test loss of the runs of each optimizer; infinite if one of them diverged."""
    losses = runs["test_loss"].where(runs["status"] == "ok", math.inf).fillna(math.inf)
    return losses.groupby(runs["optimizer"]).mean()


def compare_with_neighbours(problem: str, folder: Path, seeds: int) -> pd.DataFrame:
    """Tunes all optimizers on a problem, and trains the neighbours of the chosen rates.

    Args:
        problem: The problem.
        folder: Folder for two results directories.
        seeds: Number of fresh seeds.

    Returns:
        A row for each optimizer: the chosen rate `lr`, the factor of the best of the five rates, and the `ratio` of
        the mean loss at the chosen rate to the lowest one.
    """
    plain = problem.partition("[")[0]
    settings = {"problems": [problem], "batch_sizes": [BATCH_SIZE], "seeds": seeds, "devices": ["cpu"]}
    where = {"results": folder, "outputs": False, "download": False}
    tuned = optbench.run(optimizers=list(OPTIMIZERS), tuning_worth=WORTH, name=f"{plain}-tuned", **settings, **where)
    chosen = tuned.cells.set_index("optimizer")["lr_tuned"]
    variants = {f"{name}[lr={chosen[name] * factor:.6g}]": (name, factor) for name in OPTIMIZERS for factor in FACTORS}
    others = optbench.run(optimizers=list(variants), name=f"{plain}-neighbours", **settings, **where)
    losses = {(name, 1.0): loss for name, loss in mean_losses(tuned.runs.query("tuned")).items()}
    losses |= {variants[str(name)]: loss for name, loss in mean_losses(others.runs).items()}
    rows = []
    for name in OPTIMIZERS:
        best = min((1.0, *FACTORS), key=lambda factor, name=name: losses[name, factor])
        ratio = losses[name, 1.0] / losses[name, best]
        rows.append({"problem": plain, "optimizer": name, "lr": chosen[name], "best": best, "ratio": ratio})
    return pd.DataFrame(rows)


def main(arguments: list[str]) -> None:
    folder, seeds, *problems = arguments
    found = pd.concat([compare_with_neighbours(one, Path(folder), int(seeds)) for one in problems or PROBLEMS])
    print(found.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    print(f"median {np.median(found['ratio']):.3f}, largest {found['ratio'].max():.3f}, n = {len(found)}")


if __name__ == "__main__":
    main(sys.argv[1:])
