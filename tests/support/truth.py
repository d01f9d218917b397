"""Recorded trainings of small cells on a dense grid of rates: the truth that tuning is measured by.

    python -m tests.support.truth FILE

writes `FILE` (npz). Per cell: three rates per decade, from a decade below its range to a decade above, five seeds,
the validation loss at every evaluation and the test loss at the end.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan

#: Rates per decade, decades beyond each end of the range, and seeds.
PER_DECADE, BEYOND, SEEDS = 3, 1, 5
#: Trials have seeds that no run has; so have these.
_FIRST_SEED = 5000


def rates_of(cell: Cell) -> np.ndarray:
    """The grid of rates of a cell, ascending."""
    low, high = np.log10(cell.optimizer.search["lr"].bounds) + np.array([-BEYOND, BEYOND])
    return 10 ** np.linspace(low, high, round(PER_DECADE * (high - low)) + 1)


def record(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """The validation losses of a cell, (rates, seeds, evaluations + 1), and its test losses, (rates, seeds).

    What a training did not reach is infinite.
    """
    import torch

    from optbench.problem.data import DataSource
    from optbench.training.device_data import load
    from optbench.training.execution.replica import Replica
    from optbench.training.execution.trainer import Trainer

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    trainer = Trainer(cell, *load(cell.problem, DataSource(Path("unused"), download=False), cell.device))
    rates = rates_of(cell)
    replicas = [Replica({"lr": float(rate)}, _FIRST_SEED + seed) for rate in rates for seed in range(SEEDS)]
    curves = np.full((len(replicas), cell.evaluations + 1), np.inf, dtype=np.float32)
    test = np.full(len(replicas), np.inf, dtype=np.float32)
    for place, training in enumerate(trainer.train(replicas, cell.run_cost, test=True)):
        for point in training.points:
            curves[place, point.index] = point.valid_loss
        if training.status != "ok":
            curves[place, training.points[-1].index if training.points else 0 :] = np.inf
        else:
            test[place] = training.test_loss
    shape = len(rates), SEEDS
    return curves.reshape(*shape, -1), test.reshape(shape)


def recorded_cells(**tuning: Any) -> list[Cell]:
    """The cells of the quick preset, with a narrower network on the enlarged digits."""
    problems = [
        {"select": "quadratic_valley", "run_budget": "10epochs"},
        {"select": "mnist_cnn[data=digits,width=8]", "run_budget": "3epochs"},
        {"select": "cifar_resnet[data=digits,depth=8,width=8,augment=false]", "run_budget": "3epochs"},
    ]
    config = configure(preset="quick", problems=problems, batch_sizes=[20, 100], devices=["cpu"], tuning=tuning)
    return list(make_plan(config).cells)


def main(file: Path) -> None:
    cells = recorded_cells()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        recorded = []
        for cell, one in zip(cells, pool.map(record, cells), strict=True):
            recorded.append(one)
            print(len(recorded), cell.key, flush=True)
            np.savez_compressed(
                file,
                cells=np.array(["|".join(map(str, cell.key)) for cell in cells[: len(recorded)]]),
                rates=np.stack([rates_of(cell) for cell in cells[: len(recorded)]]),
                valid=np.stack([valid for valid, _ in recorded]),
                test=np.stack([test for _, test in recorded]),
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
