"""How many replicas memory takes, and that they are trained in as many companies as it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optbench.machine.allocations import memory_changes
from optbench.machine.device import cores
from optbench.problem.data import DataSource
from optbench.training.construct import make_model
from optbench.training.device_data import load
from optbench.training.execution import capacity, trainer
from optbench.training.execution.capacity import (
    count_efficient_replicas,
    count_fitting_replicas,
    estimate_replica_bytes,
)
from optbench.training.execution.population import SMALLEST
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from tests.support.tiny import TINY
from tests.support.trainings import cell_for, facts, trained, values

SOURCE = DataSource(Path("unused"), download=False)


def loaded(problem: str, batch_size: int = 10) -> Any:
    cell = replace(cell_for(problem, "adam", "population"), batch_size=batch_size)
    return cell, *load(cell.problem, SOURCE, "cpu")


def test_a_replica_takes_its_weights_and_what_the_backward_pass_needs() -> None:
    """A chain of layers keeps the input of each: counted by hand."""
    cell, problem, data = loaded("mlp[hidden=64,layers=3]", batch_size=100)
    weights = sum(p.numel() for p in make_model(problem, cell, 0).parameters()) * 4
    inputs = 100 * (64 + 3 * 64) * 4
    found = estimate_replica_bytes(cell, problem, data)
    assert found >= 9 * weights + 2 * inputs
    assert found <= 9 * weights + 4 * (inputs + weights) + 4 * 100 * 64 * 4


def test_it_grows_with_the_batch() -> None:
    small, large = (estimate_replica_bytes(*loaded("mnist_cnn[data=digits]", size)) for size in (250, 1000))
    assert 3 < large / small < 4


@pytest.mark.parametrize("left", [10**7, 10**9])
def test_the_estimate_follows_the_memory_that_is_left(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, problem, data = loaded("mlp", 100)
    monkeypatch.setattr(capacity, "available_device_memory", lambda device: left)
    expected = 0.5 * left / cores() / estimate_replica_bytes(cell, problem, data)
    assert count_fitting_replicas(cell, problem, data) == int(expected)
    monkeypatch.setattr(capacity, "available_device_memory", lambda device: None)
    assert count_fitting_replicas(cell, problem, data) is None


def test_a_population_stays_within_the_estimate() -> None:
    """The highest memory of three steps and an evaluation, by torch's profiler, against the bound."""
    from optbench.budget import Ledger
    from optbench.training.execution.population import Population

    cell, problem, data = loaded("mlp[hidden=100]", 100)
    count = 16

    def work() -> None:
        replicas = [Replica({"lr": 1e-3}, seed) for seed in range(count)]
        population = Population(cell, problem, data, replicas, True, Ledger(10**6))
        for _ in range(3):
            population.step()
        population.evaluate(data.valid)

    peak = np.cumsum(memory_changes(work)).max()
    bound = count * estimate_replica_bytes(cell, problem, data)
    assert bound / 4 < peak < bound


def test_more_replicas_than_fit_are_trained_in_equal_companies(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_for(TINY, "adam", "population")
    rates = [1e-4 * 1.3**k for k in range(21)]
    expected = trained(cell, rates)
    sizes, original = [], trainer.train_population

    def counting(cell: Any, problem: Any, data: Any, replicas: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(replicas))
        return original(cell, problem, data, replicas, *args, **kwargs)

    monkeypatch.setattr(trainer, "train_population", counting)
    monkeypatch.setattr(trainer, "count_fitting_replicas", lambda *_: SMALLEST)
    found = trained(cell, rates)
    assert sizes == [7, 7, 7]
    assert [facts(record) for record in found] == [facts(record) for record in expected]
    assert all(np.array_equal(values(a), values(b)) for a, b in zip(found, expected, strict=True))


def test_companies_are_no_larger_than_gains() -> None:
    """Their batches of 1000 points of 300 numbers, and an energy each, stay within 32 MiB."""
    cell, problem, data = loaded("quadratic_valley[dim=300]", 1000)
    assert count_efficient_replicas(cell, data) == 2**25 // (301 * 1000 * 8)
    assert Trainer(cell, problem, data)._largest_population() == count_efficient_replicas(cell, data)
    assert Trainer(*loaded("quadratic_valley[dim=1000]", 1000))._largest_population() == SMALLEST


def test_where_not_even_the_fewest_fit_they_are_trained_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "count_fitting_replicas", lambda *_: 3)
    cell, problem, data = loaded(TINY)
    one = Trainer(cell, problem, data)
    assert len(list(one.train([Replica({"lr": 1e-3}, 0)], 300))) == 1
    assert (one.execution, one.note) == (
        "eager", f"MemoryError: not enough memory for {SMALLEST} replicas at a time (only for 3)"
    )  # fmt: skip
