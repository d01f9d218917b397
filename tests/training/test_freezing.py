"""Frozen parts: no optimizer moves them, they are freed when due, and the curves say how much is trained."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from optbench.budget import Ledger
from optbench.config.load import configure
from optbench.optimizers.builtin import BUILT_IN
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.training.construct import make_optimizer
from optbench.training.device_data import load
from optbench.training.freezing import Freezing
from optbench.training.loop import train
from optbench.training.stepper import Stepper
from tests.support.tiny import TinyNet, run_tiny

SOURCE = DataSource(Path("unused"), download=False)
HALF = f"{Path(__file__).resolve()}:HalfFrozen"


@dataclass(frozen=True)
class HalfFrozen(TinyNet):
    """Two linear layers, of which the first is frozen for a share of the budget."""

    name: ClassVar[str] = "half_frozen"

    share: float = 0.5
    part: str = "first"

    @property
    def freezing(self) -> Mapping[str, float]:
        return {self.part: self.share}

    def model(self) -> nn.Module:
        model = nn.Sequential()
        model.add_module("first", nn.Linear(4, 5))
        model.add_module("second", nn.Linear(5, 3))
        return model


def cell_for(problem: str, optimizer: str, budget: str = "120examples") -> Cell:
    config = configure(problems=[problem], optimizers=[optimizer], batch_sizes=[10], devices=["cpu"], run_budget=budget)
    return make_plan(config).cells[0]


def stepped(problem: str, optimizer: str, budget: int) -> tuple[list[dict[str, torch.Tensor]], list[float], Stepper]:
    """The weights before the first and after each step, and the cost before each step."""
    cell = cell_for(problem, optimizer, f"{budget}examples")
    loaded, data = load(cell.problem, SOURCE, "cpu")
    stepper = Stepper(cell, loaded, data, cell.optimizer.defaults, 3, Ledger(budget))
    seen = [{name: p.detach().clone() for name, p in stepper.model.named_parameters()}]
    costs: list[float] = []
    while stepper.ledger.affords_gradient(10):
        before = stepper.ledger.cost
        if stepper.step():
            costs.append(before)
            seen.append({name: p.detach().clone() for name, p in stepper.model.named_parameters()})
    return seen, costs, stepper


@pytest.mark.parametrize("optimizer", [*BUILT_IN, "torch.optim:AdamW[weight_decay=0.5]", "momentum[weight_decay=0.5]"])
def test_no_optimizer_moves_what_is_frozen_until_it_is_due(optimizer: str) -> None:
    # A step of L-BFGS costs several gradients: many, so that some lie on either side of the middle.
    budget = 1200 if optimizer == "lbfgs" else 120
    seen, costs, stepper = stepped(HALF, optimizer, budget)
    moved = [not torch.equal(a["first.weight"], b["first.weight"]) for a, b in itertools.pairwise(seen)]
    due = [cost >= budget / 2 for cost in costs]
    assert any(moved)
    assert not any(step and not free for step, free in zip(moved, due, strict=True))
    if optimizer != "lbfgs":  # whose line search may find no step
        assert moved == due == [False] * 6 + [True] * 6
    assert not torch.equal(seen[0]["second.weight"], seen[1]["second.weight"])
    assert all(p.requires_grad for p in stepper.model.parameters())


def test_steps_are_those_of_a_loop_that_passes_over_the_frozen_layer() -> None:
    seen, _, stepper = stepped(HALF, "momentum", 120)
    loaded, data = load(cell_for(HALF, "momentum").problem, SOURCE, "cpu")
    again = Stepper(cell_for(HALF, "momentum"), loaded, data, {"lr": 1.0}, 3, Ledger(120))
    rate = float(stepper.optimizer.param_groups[0]["lr"])
    model = loaded.model()
    model.load_state_dict(seen[0])
    speed = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for step in range(12):
        model.zero_grad()
        loaded.loss(model, data.train.batch(again.batches.next()[0])).backward()
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name.startswith("second") or step >= 6:
                    speed[name] = 0.9 * speed[name] + p.grad
                    p -= rate * speed[name]
        for name, p in model.named_parameters():
            assert torch.allclose(p, seen[step + 1][name], atol=1e-6)


@pytest.mark.parametrize(("share", "counts"), [(0, {43}), (0.5, {18, 43}), (1, {18})])
def test_the_record_says_how_many_weights_are_trained(share: float, counts: set[int]) -> None:
    cell = cell_for(f"{HALF}[share={share}]", "sgd")
    problem, data = load(cell.problem, SOURCE, "cpu")
    record = train(cell, problem, data, {"lr": 0.1}, 0, 120)
    assert {point.trainable_parameters for point in record.points} == counts
    assert all((p.trainable_parameters == 43) == (p.cost > 120 * share or share == 0) for p in record.points)
    assert record.cost == 120  # frozen parts don't make an example cheaper


def test_curves_hold_the_number_of_trained_weights(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "r", problems=[HALF], optimizers=["sgd"], run_budget="120examples", tuning_worth=0)
    curve = results.curves.sort_values("cost")
    half = curve["cost"] <= 60
    assert set(curve.loc[half, "trainable_parameters"]) == {18}
    assert set(curve.loc[~half, "trainable_parameters"]) == {43}


def test_a_part_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with 'frist'"):
        Freezing(HalfFrozen().model(), {"frist": 0.5})


def test_what_the_author_froze_stays_frozen() -> None:
    model = HalfFrozen().model()
    model.get_parameter("first.bias").requires_grad_(False)
    optimizer = make_optimizer(cell_for(HALF, "sgd").optimizer, model, {"lr": 0.1})
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 3
    freezing = Freezing(model, {"first": 0.5})
    for spent, free in ((0.0, False), (0.49, False), (0.5, True), (1.0, True)):
        freezing.update(spent)
        assert model.get_parameter("first.weight").requires_grad == free
        assert not model.get_parameter("first.bias").requires_grad


def test_frozen_parts_are_trained_eagerly() -> None:
    config = configure(problems=[HALF], optimizers=["sgd"], batch_sizes=[10], devices=["cpu"])
    (cell,) = make_plan(config, "population").cells
    assert (cell.execution.name, cell.execution.reason) == ("eager", "parts of the model start frozen")
