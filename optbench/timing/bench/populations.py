"""Tuning rounds of small problems: all rates at once, or a whole cell, against torch loops one after another."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from optbench.config.load import configure
from optbench.importing import load_attribute
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.results.directory import ResultsDirectory
from optbench.runner.cell import execute
from optbench.runner.job import Job
from optbench.timing.bench.comparison import Ratio, compare
from optbench.training.batches import BatchStream
from optbench.training.convolution import replace_convolutions
from optbench.training.device_data import load
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from optbench.training.seeds import derive


def small_cell(problem: str, optimizer: str, batch_size: int, run_budget: str, trials: int) -> Cell:
    """A cell whose tuning is a single round of `trials` trials."""
    config = configure(
        problems=[problem],
        optimizers=[optimizer],
        batch_sizes=[batch_size],
        devices=["cpu"],
        run_budget=run_budget,
        tuning_worth=trials,
        tuning_round=trials,
    )
    return make_plan(config).cells[0]


def rates(cell: Cell, count: int) -> list[float]:
    """Learning rates that are evenly spaced in the lower half of the range, where nothing diverges."""
    low, high = cell.optimizer.search["lr"].bounds
    return [low * (high / low) ** (0.5 * (k + 0.5) / count) for k in range(count)]


def loops(cell: Cell, learning_rates: Sequence[float], source: DataSource) -> float:
    """Seconds of plain torch loops one after another, over the same batches as the replicas."""
    problem, data = load(cell.problem, source, cell.device)
    constructor = load_attribute(cell.optimizer.constructor)
    steps = cell.run_cost // cell.batch_size
    started = time.perf_counter()
    for seed, rate in enumerate(learning_rates):
        torch.manual_seed(derive(seed, "initial weights"))
        model = problem.model().train()
        replace_convolutions(model)  # as on the other side
        optimizer = constructor(model.parameters(), lr=rate, **cell.optimizer.arguments)
        order = torch.Generator().manual_seed(derive(seed, "data order"))
        batches = BatchStream(len(data.train), cell.batch_size, [order], cell.device)
        for _ in range(steps):
            optimizer.zero_grad()
            problem.loss(model, data.train.batch(batches.next()[0])).backward()
            optimizer.step()
    return time.perf_counter() - started


def at_once(cell: Cell, learning_rates: Sequence[float], source: DataSource) -> float:
    """Seconds of the same trainings as one population, with an evaluation before and one after."""
    problem, data = load(cell.problem, source, cell.device)
    started = time.perf_counter()
    trainer = Trainer(cell, problem, data)
    replicas = [Replica({"lr": rate}, seed) for seed, rate in enumerate(learning_rates)]
    records = list(trainer.train(replicas, cell.run_cost))
    assert trainer.execution == "population", trainer.note
    assert all(record.status == "ok" for record in records)
    return time.perf_counter() - started


def population_against_loops(cell: Cell, trials: int, source: DataSource, pairs: int, target: float) -> Ratio:
    """Loops against a population, for the training alone."""
    chosen = rates(cell, trials)
    few = replace(cell, evaluations=1)
    return compare(
        f"{trials} loops / {trials} rates at once, {_scope(cell)}",
        "s",
        lambda: loops(few, chosen, source),
        lambda: at_once(few, chosen, source),
        pairs,
        target,
    )


def harness_against_loops(cell: Cell, trials: int, source: DataSource, pairs: int, target: float) -> Ratio:
    """Loops against a whole cell (Optuna, ledger, evaluations, records on disk, two final runs)."""
    chosen = rates(cell, trials + 2)

    def whole() -> float:
        with tempfile.TemporaryDirectory() as folder:
            directory = ResultsDirectory(Path(folder) / "bench")
            directory.create()
            started = time.perf_counter()
            status = execute(Job(cell, (0,), directory, source, ""))
            seconds = time.perf_counter() - started
            store = directory.cell(cell.id)
            assert status == "ok", store.result()
            assert len(store.trials()) >= trials
            # If the default rate is selected, one training gives both runs.
            runs = [store.run(0, tuned) or {"hyperparameters": None} for tuned in (True, False)]
            assert runs[0]["hyperparameters"] != runs[1]["hyperparameters"], "the two runs are one training"
        return seconds

    return compare(
        f"{trials + 2} loops / a cell of {trials} trials and 2 runs, {_scope(cell)}",
        "s",
        lambda: loops(cell, chosen, source),
        whole,
        pairs,
        target,
    )


def _scope(cell: Cell) -> str:
    return f"{cell.problem.label}, {cell.optimizer.label}, batch {cell.batch_size}, {cell.run_budget}"
