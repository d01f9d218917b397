"""Trainings of one cell by a trainer, and what of their records has to be equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.training.device_data import load
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from optbench.training.record import Training

SOURCE = DataSource(Path("unused"), download=False)


def cell_for(problem: str, optimizer: str, execution: str, **choices: Any) -> Cell:
    config = configure(problems=[problem], optimizers=[optimizer], batch_sizes=[10], devices=["cpu"], **choices)
    return make_plan(config, execution).cells[0]


def trained(cell: Cell, rates: list[float], budget: int = 600, seeds: list[int] | None = None) -> list[Training]:
    problem, data = load(cell.problem, SOURCE, "cpu")
    trainer = Trainer(cell, problem, data)
    seeds = list(range(len(rates))) if seeds is None else seeds
    replicas = [Replica({"lr": lr}, seed) for lr, seed in zip(rates, seeds, strict=True)]
    records = list(trainer.train(replicas, budget, test=True))
    assert trainer.execution == cell.execution.name, trainer.note
    return records


def values(record: Training) -> np.ndarray:
    rows = [[p.train_loss, p.valid_loss, p.valid_metric] for p in record.points]
    return np.array([*rows, [record.test_loss, record.test_metric, record.cost]])


def facts(record: Training) -> list[Any]:
    """All that has to be equal to the last bit."""
    steps = [(point.index, point.step, point.cost) for point in record.points]
    counted = [record.status, record.error, record.seed, record.hyperparameters, record.constructed, record.steps]
    return [*counted, record.cost, record.forwards, record.backwards, record.optimizer_state_bytes, steps]
