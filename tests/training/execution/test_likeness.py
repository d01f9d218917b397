"""Optimizers whose rule depends on the size of a tensor are not stacked; others are, as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optbench.optimizers.builtin import BUILT_IN
from optbench.problem.data import DataSource
from optbench.training.device_data import load
from optbench.training.execution.likeness import MOST, require_likeness
from optbench.training.execution.linearity import probe_linearity
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from tests.support.tiny import TINY, TINY_NET
from tests.support.trainings import cell_for

SOURCE = DataSource(Path("unused"), download=False)
SIZES = str(Path(__file__).parents[2] / "support" / "sizes.py")


def trainer_for(optimizer: str, execution: str, problem: str = TINY_NET) -> Trainer:
    cell = cell_for(problem, optimizer, execution)
    return Trainer(cell, *load(cell.problem, SOURCE, "cpu"))


def losses(trainer: Trainer, seeds: int) -> list[Any]:
    rate = trainer.cell.optimizer.defaults["lr"]
    records = list(trainer.train([Replica({"lr": rate}, seed) for seed in range(seeds)], 1200))
    return [[point.valid_loss for point in record.points] for record in records][:2]


@pytest.mark.parametrize(
    "optimizer",
    # TinyNet has tensors of 12 and 3 elements, the stacks of the first probe have 48 at most.
    ["Large[least=60]", "Large[least=150]", "Large[least=60,since=80]", "Coarse"],
)
def test_a_rule_for_large_tensors_gives_the_same_losses_in_every_execution(optimizer: str) -> None:
    name = f"{SIZES}:{optimizer}"
    eager = losses(trainer_for(name, "eager"), 2)
    for seeds in (2, 11):
        stacked = trainer_for(name, "population")
        assert probe_linearity(stacked.cell.optimizer) is not None, "the probe with small tensors misses it"
        assert losses(stacked, seeds) == eager
        assert stacked.execution == "eager"
        assert f"{MOST} replicas at once take other steps than one by one" in stacked.note


@pytest.mark.parametrize("problem", [TINY, TINY_NET])
@pytest.mark.parametrize("optimizer", [f"{SIZES}:Signs", f"{SIZES}:Adam", f"{SIZES}:Large[least=1000]"])
def test_an_elementwise_rule_is_stacked(optimizer: str, problem: str) -> None:
    stacked = trainer_for(optimizer, "population", problem)
    losses(stacked, 2)
    assert (stacked.execution, stacked.note) == ("population", "")


@pytest.mark.parametrize("name", sorted(name for name, spec in BUILT_IN.items() if spec.linear_in_rate))
def test_optimizers_of_torch_need_no_comparison(name: str) -> None:
    for problem in (TINY, TINY_NET):
        cell = cell_for(problem, name, "population")
        mode = probe_linearity(cell.optimizer)
        assert mode is not None
        require_likeness(cell, *load(cell.problem, SOURCE, "cpu"), MOST, mode == "zero")


def test_no_population_is_larger_than_the_compared_one() -> None:
    stacked = trainer_for(f"{SIZES}:Adam", "population")
    assert stacked._largest_population() == MOST
    assert trainer_for("adam", "population")._largest_population() > MOST


def test_only_own_optimizers_that_may_be_stacked_have_another_identity() -> None:
    for problem, optimizer, expected in (
        ("quadratic_valley", f"{SIZES}:Adam", True),
        ("quadratic_valley", "adam", False),
        ("quadratic_valley", "optbench.experiments.uncorrected:UncorrectedAdam", False),
        (TINY_NET, f"{SIZES}:Adam", False),  # not faster there, so always eager
    ):
        assert ("stacked" in cell_for(problem, optimizer, "eager").identity) == expected
