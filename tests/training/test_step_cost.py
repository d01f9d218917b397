"""An optimizer that receives the number of steps takes this number, however many gradients it computes in each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optbench
from optbench.planning.matrix import Cell
from optbench.problem.data import DataSource
from optbench.training.device_data import load
from optbench.training.loop import train
from optbench.training.record import Training
from tests.support.tiny import TINY_NET
from tests.training.test_stepper import SOURCE, cell_of

assert isinstance(SOURCE, DataSource)


class Told(torch.optim.SGD):
    """Calls its closure `calls` times a step, and in every `period`-th step once more; refuses further steps."""

    def __init__(
        self, params: Any, total_steps: int, epochs: int, lr: float = 0.01, calls: int = 2, period: int = 0
    ) -> None:
        super().__init__(params, lr=lr)
        self.calls, self.period, self.taken, self.total = calls, period, 0, total_steps
        self.defaults["told"] = (total_steps, epochs)

    def step(self, closure: Any) -> None:  # type: ignore[override]
        if self.taken == self.total:
            raise IndexError("no further step")
        self.taken += 1
        for _ in range(self.calls + (self.period > 0 and self.taken % self.period == 0)):
            with torch.enable_grad():
                closure()
        super().step()


@optbench.optimizer(second_backward=True)
class ToldCurvature(torch.optim.SGD):
    """Differentiates its gradients once a step, which costs 2 in addition."""

    def __init__(self, params: Any, total_steps: int, lr: float = 0.01) -> None:
        super().__init__(params, lr=lr)
        self.defaults["told"] = (total_steps, 0)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        params = self.param_groups[0]["params"]
        torch.autograd.grad(sum((p.grad**2).sum() for p in params), params, retain_graph=True)
        with torch.no_grad():
            for p in params:
                p.sub_(0.01 * p.grad)


def trained(optimizer: str, budget: str) -> tuple[Cell, Training]:
    cell = cell_of(TINY_NET, f"{__file__}:{optimizer}", run_budget=budget)
    problem, data = load(cell.problem, SOURCE, "cpu")
    return cell, train(cell, problem, data, cell.optimizer.defaults, 0, cell.run_cost)


@pytest.mark.parametrize(
    ("optimizer", "cost"), [("Told[calls=1]", 1), ("Told", 2), ("Told[calls=3]", 3), ("ToldCurvature", 3)]
)
@pytest.mark.parametrize("budget", [600, 605, 617, 30])
def test_the_number_of_steps_is_that_which_is_taken(optimizer: str, cost: int, budget: int) -> None:
    """Batches have 10 examples, and an epoch has 120."""
    _, record = trained(optimizer, f"{budget}examples")
    assert record.status == "ok", record.error
    steps = budget // (10 * cost)
    told, epochs = record.constructed["told"]
    assert told == record.steps == steps
    assert record.cost == 10 * cost * steps
    assert record.error == ""
    if epochs:
        assert epochs == -(-10 * steps // 120)


def test_costs_that_differ_are_remarked() -> None:
    _, record = trained("Told[calls=1,period=4]", "600examples")
    assert record.status == "ok"
    assert record.constructed["told"][0] == 60
    assert record.steps == 48
    assert record.error == "the optimizer receives 60 steps, which it takes only if each costs a gradient"


def test_only_what_it_concerns_has_another_identity() -> None:
    def revisions(optimizer: str) -> list[str]:
        found: list[str] = cell_of(TINY_NET, optimizer).optimizer.identity.get("revisions", [])
        return found

    assert "told steps" in revisions(f"{__file__}:Told")
    for name in ("adam", "lbfgs", "sam", "ademamix"):
        try:
            assert "told steps" not in revisions(name)
        except optbench.UserError:  # its package is not installed
            continue
