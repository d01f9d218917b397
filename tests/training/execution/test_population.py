"""Replicas trained at once against the same ones trained one after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optbench.machine import settings
from optbench.optimizers.builtin import BUILT_IN
from optbench.planning.problem_choice import ProblemChoice
from optbench.problem.base import Problem, load_problem_data
from optbench.problem.data import Data, DataSource
from optbench.training.device_data import ResidentData, load
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from tests.support import trainings
from tests.support.tiny import EXPLODING, RAISING, TINY, TINY_NET, Tiny, TinyNet
from tests.support.trainings import cell_for, facts, trained, values

SOURCE = DataSource(Path("unused"), download=False)
LINEAR = [name for name, spec in BUILT_IN.items() if spec.linear_in_rate]
HERE = Path(__file__).resolve()


def both(problem: str, optimizer: str, factors: tuple[float, ...], budget: int = 600, **choices: Any) -> Any:
    """Records trained one by one and at once, at multiples of the default rate."""
    found = []
    for execution in ("eager", "population"):
        cell = cell_for(problem, optimizer, execution, **choices)
        assert cell.execution.name == execution
        default = cell.optimizer.defaults["lr"]
        found.append(trained(cell, [default * factor for factor in factors], budget))
    return zip(*found, strict=True)


VALLEYS = (TINY, "quadratic_valley[dim=20,condition=9,rotated=true,reduction=sum,order=replacement]")
SCHEDULES = ("constant", "cosine[warmup=0.2]", "step[at=(0.3,0.6),factor=0.5]", "wsd[decay=0.3,warmup=12]")
NETWORKS = (TINY_NET, "mlp[hidden=8]", "logistic_regression", "autoencoder[code=20]", "matrix_factorisation")


@pytest.mark.parametrize(
    ("name", "problem", "schedule"),
    # Each optimizer on both, and with two schedules; 12 steps are a part of each run.
    [
        (name, problem, SCHEDULES[(place + number) % len(SCHEDULES)])
        for place, name in enumerate(LINEAR)
        for number, problem in enumerate(VALLEYS)
    ],
)
def test_float64_problems_agree_to_1e_9(name: str, problem: str, schedule: str) -> None:
    for alone, together in both(problem, name, (1.0, 0.3, 2.0), schedules=[schedule]):
        assert facts(together) == facts(alone)
        assert together.status == "ok"
        np.testing.assert_allclose(values(together), values(alone), rtol=1e-9, atol=1e-300)
        if alone.trajectory:
            np.testing.assert_allclose(together.trajectory, alone.trajectory, rtol=1e-9)


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks with weights and data in double precision."""

    def doubled(choice: ProblemChoice, *_: Any) -> tuple[Problem, ResidentData]:
        problem = choice.make()
        data = load_problem_data(problem, SOURCE)
        splits = (data.train, data.valid, data.test)
        doubles = (tuple(t.double() if t.is_floating_point() else t for t in split) for split in splits)
        return problem, ResidentData(problem, Data(*doubles), "cpu")

    monkeypatch.setattr(trainings, "load", doubled)
    name = "the default dtype"
    monkeypatch.setitem(settings._settings(), name, settings._settings()[name]._replace(planned=torch.float64))
    with settings.keep_settings():
        yield


@pytest.mark.parametrize(
    ("name", "problem"),
    # Each optimizer on two networks.
    [(name, NETWORKS[(place + step) % len(NETWORKS)]) for place, name in enumerate(LINEAR) for step in (0, 2)],
)
@pytest.mark.usefixtures("in_float64")
def test_networks_agree_in_float64(name: str, problem: str) -> None:
    """In float32 a gradient that is zero in exact arithmetic, as those of zero weights are, has the size of a rounding
    error, of which adaptive methods make a whole step: which way depends on the machine's BLAS, and on the company.
    """
    for alone, together in both(problem, name, (1.0, 0.1), budget=1200 if problem == TINY_NET else 200):
        assert facts(together) == facts(alone)
        np.testing.assert_allclose(values(together), values(alone), rtol=1e-6)


@pytest.mark.parametrize("problem", NETWORKS)
def test_networks_in_float32_agree_within_its_rounding(problem: str) -> None:
    """By a method whose steps are as small as the gradients are."""
    for alone, together in both(problem, "momentum", (1.0, 0.1), budget=1200 if problem == TINY_NET else 200):
        assert facts(together) == facts(alone)
        np.testing.assert_allclose(values(together), values(alone), rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam[weight_decay=0.1]", "sgd[weight_decay=0.1]", "rmsprop[centered=true]",
                                       "adam[amsgrad=true]", "momentum[dampening=0.5]", "adagrad[lr_decay=0.1]",
                                       "torch.optim:AdamW", "torch.optim:RAdam"])  # fmt: skip
def test_variants_of_the_step_agree(optimizer: str) -> None:
    for alone, together in both(TINY, optimizer, (1.0, 0.3)):
        assert facts(together) == facts(alone)
        np.testing.assert_allclose(values(together), values(alone), rtol=1e-9)


def test_batch_norm_and_augmentation_are_each_replicas_own() -> None:
    """Running statistics are stacked, and shifts drawn from each replica's generator: as in eager training."""
    problem = "cifar_resnet[data=digits,depth=8,width=4]"
    for alone, together in both(problem, "sgd", (10.0, 3.0), budget=100, evaluations=2):
        assert facts(together) == facts(alone)
        np.testing.assert_allclose(values(together), values(alone), rtol=1e-4)


@pytest.mark.parametrize(
    "problem",
    [TINY, TINY_NET, "mlp", "quadratic_deep", "logistic_regression", "autoencoder", "matrix_factorisation",
     *(f"quadratic_valley[dim={dim},rotated=true]" for dim in (2, 3, 20))],
)  # fmt: skip
def test_a_replica_has_the_same_bits_in_any_company(problem: str) -> None:
    """So that more seeds, or a resume between two writes, change nothing."""
    cell = cell_for(problem, "adam", "population")
    rates = [1e-3, 1e-2, 3e-2, 1e-1, 5e-3]
    whole = trained(cell, rates)
    for count in (1, 3):
        part = trained(cell, rates[:count])
        for one, other in zip(whole, part, strict=False):
            assert facts(one) == facts(other)
            assert np.array_equal(values(one), values(other))
            assert one.trajectory == other.trajectory


def test_a_diverged_replica_is_charged_no_further_and_harms_no_other() -> None:
    pairs = list(both("quadratic_valley", "sgd", (1.0, 1e3, 3.0), budget=3000, evaluations=10))
    for alone, together in pairs:
        assert facts(together) == facts(alone)
    assert [together.status for _, together in pairs] == ["ok", "diverged", "ok"]
    assert pairs[1][1].cost < pairs[0][1].cost == 3000
    assert np.isnan(pairs[1][1].test_loss)


def test_observers_stop_their_own_replica_only() -> None:
    cell = cell_for(TINY, "sgd", "population", evaluations=6)
    problem, data = load(cell.problem, SOURCE, "cpu")
    stopper = Replica({"lr": 1e-3}, 0, lambda: lambda training: "enough" if len(training.points) == 3 else "")
    stopped, other = Trainer(cell, problem, data).train([stopper, Replica({"lr": 1e-3}, 1)], 600)
    assert (stopped.status, stopped.error, stopped.cost) == ("skipped", "enough", 200)
    assert (other.status, other.cost) == ("ok", 600)


@dataclass(frozen=True)
class Branching(Tiny):
    """A loss that looks at a value, which vmap can't carry."""

    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        found = super().loss(model, batch)
        return found if float(found) > -1 else -found


@pytest.mark.parametrize(
    ("problem", "optimizer", "note"),
    [
        (f"{HERE}:Branching", "sgd", "item"),
        (f"{TINY_NET}[dropout=0.5]", "sgd", "random"),
        (TINY, "torch.optim:Rprop", "not linear"),
        (TINY, "torch.optim:Adafactor", "not linear"),
    ],
)
def test_what_cannot_be_stacked_falls_back_with_a_note(problem: str, optimizer: str, note: str) -> None:
    cell = cell_for(problem, optimizer, "population")
    assert cell.execution.name == "population"
    loaded, data = load(cell.problem, SOURCE, "cpu")
    trainer = Trainer(cell, loaded, data)
    found = list(trainer.train([Replica({"lr": 1e-3}, 0), Replica({"lr": 1e-2}, 1)], 300))
    assert trainer.execution == "eager"
    assert note in trainer.note
    eager = cell_for(problem, optimizer, "eager")
    expected = list(Trainer(eager, loaded, data).train([Replica({"lr": 1e-3}, 0), Replica({"lr": 1e-2}, 1)], 300))
    assert [facts(record) for record in found] == [facts(record) for record in expected]
    assert all(np.array_equal(values(a), values(b), equal_nan=True) for a, b in zip(found, expected, strict=True))


def test_failures_are_those_of_eager_training() -> None:
    cell = cell_for(TINY, RAISING, "population")
    problem, data = load(cell.problem, SOURCE, "cpu")
    (record,) = Trainer(cell, problem, data).train([Replica({"lr": 1e-3}, 0)], 300)
    assert (record.status, record.error) == ("error", "RuntimeError: the third step is too much")


def test_memory_for_half_of_the_replicas_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    from optbench.training.execution import trainer as module

    sizes = []
    original = module.train_population

    def limited(cell: Any, problem: Any, data: Any, replicas: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(replicas))
        if len(replicas) > 2:
            raise torch.OutOfMemoryError("no more")
        return original(cell, problem, data, replicas, *args, **kwargs)

    cell = cell_for(TINY, "adam", "population")
    rates = [1e-3, 1e-2, 1e-1, 1e-4, 1e-5]
    expected = [values(record) for record in trained(cell, rates)]
    monkeypatch.setattr(module, "train_population", limited)
    found = trained(cell, rates)
    assert sizes == [5, 2, 3, 1, 2]
    assert all(np.array_equal(values(record), one) for record, one in zip(found, expected, strict=True))


def test_every_replica_diverging_ends_the_training() -> None:
    cell = cell_for(TINY, EXPLODING, "population")
    records = trained(cell, [0.1, 0.2])
    assert [record.status for record in records] == ["diverged", "diverged"]
    assert all(record.cost < 600 for record in records)


def test_tiny_classes_are_those_of_the_selections() -> None:
    assert TINY.endswith(Tiny.__name__)
    assert TINY_NET.endswith(TinyNet.__name__)
