"""Models that differ from seed to seed in more than parameters and buffers are not stacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optbench.training.device_data import load
from optbench.training.execution.replica import Replica
from optbench.training.execution.stackable import find_difference
from optbench.training.execution.trainer import Trainer
from tests.support.tiny import Tiny
from tests.support.trainings import cell_for, facts, trained, values

SOURCE_FILE = Path(__file__).resolve()


def seeded(make: Callable[[], nn.Module]) -> list[nn.Module]:
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(make())
    return models


class Holding(nn.Module):
    """A layer, and whatever it is given to hold."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.layer.held = held
        self.register_buffer("drawn", torch.randn(2))


def test_parameters_and_buffers_may_differ() -> None:
    assert find_difference(seeded(lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout()))) == ""
    assert find_difference(seeded(lambda: Holding(1))) == ""
    assert find_difference([nn.Linear(2, 2)]) == ""


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: torch.randn(2),
        lambda: torch.randint(0, 2**60, (1,)),
        lambda: np.random.RandomState(int(torch.randint(0, 2**31, ()))).standard_normal(3),
        lambda: float(torch.rand(())),
        lambda: str(torch.rand(())),
        lambda: [1, (torch.rand(1), 2)],
        lambda: {"scale": torch.rand(1)},
        lambda: torch.zeros(int(torch.randint(1, 2**31, ())) % 1000),
    ],
)
def test_what_is_drawn_and_not_registered_is_found(drawn: Callable[[], Any]) -> None:
    assert find_difference(seeded(lambda: Holding(drawn()))) == (
        "layer.held depends on the seed but is neither a parameter nor a buffer"
    )


@pytest.mark.parametrize("held", [torch.ones(3), [1.0, "a", None, (2, True)], np.arange(3), {"a": 1}, len, nn.ReLU])
def test_what_is_the_same_is_not(held: Any) -> None:
    assert find_difference(seeded(lambda: Holding(held))) == ""


def test_other_layers_for_other_seeds_are_found() -> None:
    def other_class() -> nn.Module:
        return nn.Sequential(nn.ReLU() if torch.rand(()) < 0.5 else nn.Tanh())

    def other_names() -> nn.Module:
        return nn.ModuleDict({f"layer{int(torch.randint(0, 1000, ()))}": nn.ReLU()})

    def local() -> nn.Module:
        class Local(nn.Module):
            """Could close over anything that was drawn."""

        return nn.Sequential(Local())

    assert "the class of 0 depends on the seed" in find_difference(seeded(other_class))
    assert "the layers of the model depend" in find_difference(seeded(other_names))
    assert "defined in model()" in find_difference(seeded(local))


class Scaled(Tiny):
    """A valley whose steepness is drawn with the initial weights, and hangs on the model as a plain attribute."""

    def model(self) -> nn.Module:
        model = super().model()
        model.scale = 0.5 + torch.rand(2, dtype=torch.float64)  # type: ignore[assignment]
        return model

    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        return 0.5 * (model.scale * (model.position - batch[0]) ** 2).sum(1).mean()


@pytest.mark.parametrize("count", [1, 3])
def test_replicas_with_plain_attributes_of_their_own_are_trained_one_by_one(count: int) -> None:
    """Also a single one, so that more seeds change nothing of it."""
    cell = cell_for(f"{SOURCE_FILE}:Scaled", "sgd", "population")
    assert cell.execution.name == "population"
    problem, data = load(cell.problem, None, "cpu")  # type: ignore[arg-type]
    trainer = Trainer(cell, problem, data)
    found = list(trainer.train([Replica({"lr": 0.01}, seed) for seed in range(count)], 600, test=True))
    assert trainer.execution == "eager"
    assert trainer.note == "ValueError: scale depends on the seed but is neither a parameter nor a buffer"
    expected = trained(cell_for(f"{SOURCE_FILE}:Scaled", "sgd", "eager"), [0.01] * count)
    assert [facts(record) for record in found] == [facts(record) for record in expected]
    assert all(np.array_equal(values(a), values(b)) for a, b in zip(found, expected, strict=True))


class Buffered(Tiny):
    """The same with the steepness registered as a buffer, and one that training changes."""

    def model(self) -> nn.Module:
        model = super().model()
        model.register_buffer("scale", 0.5 + torch.rand(2, dtype=torch.float64))
        model.register_buffer("seen", torch.zeros((), dtype=torch.float64))
        return model

    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        if model.training:
            self.count(model)
        return 0.5 * (model.scale * (model.position - batch[0]) ** 2).sum(1).mean() + 1e-3 * model.seen

    def count(self, model: Any) -> None:
        model.seen += model.position.detach().sum()


class Replacing(Buffered):
    """The same, but training puts a new tensor in the place of the buffer."""

    def count(self, model: Any) -> None:
        model.seen = model.seen + model.position.detach().sum()


def test_a_buffer_that_is_replaced_is_not_lost() -> None:
    """`functional_call` puts the old ones back, so such models are trained one by one."""
    cell = cell_for(f"{SOURCE_FILE}:Replacing", "adam", "population")
    problem, data = load(cell.problem, None, "cpu")  # type: ignore[arg-type]
    trainer = Trainer(cell, problem, data)
    found = list(trainer.train([Replica({"lr": 0.01}, seed) for seed in range(2)], 600, test=True))
    assert trainer.note == "ValueError: training replaces the buffer seen by another tensor"
    expected = trained(cell_for(f"{SOURCE_FILE}:Buffered", "adam", "eager"), [0.01] * 2)
    assert all(np.array_equal(values(a), values(b)) for a, b in zip(found, expected, strict=True))


def test_buffers_drawn_by_seed_are_each_replicas_own() -> None:
    pairs = [trained(cell_for(f"{SOURCE_FILE}:Buffered", "adam", name), [0.01] * 3) for name in ("eager", "population")]
    for alone, together in zip(*pairs, strict=True):
        assert facts(together) == facts(alone)
        np.testing.assert_allclose(values(together), values(alone), rtol=1e-9)
    ends = {record.points[-1].train_loss for record in pairs[1]}
    assert len(ends) == 3
