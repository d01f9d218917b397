"""What steps do for optimizers with needs: second backwards, facts of the run, own schedules, other weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optbench.budget import Ledger
from optbench.config.load import configure
from optbench.errors import UserError
from optbench.optimizers.combined import combine
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.training.device_data import load
from optbench.training.excerpt import begin_excerpt
from optbench.training.execution.population import train_population
from optbench.training.execution.replica import Replica
from optbench.training.loop import train
from optbench.training.stepper import OVERWRITTEN, Stepper
from tests.support.own import OWN
from tests.support.passes import PASSES
from tests.support.tiny import TINY, TINY_NET

SOURCE = DataSource(Path("unused"), download=False)


def cell_of(problem: str, optimizer: str, **choices: Any) -> Cell:
    choices = {"batch_sizes": [10], "devices": ["cpu"], **choices}
    [found] = make_plan(configure(problems=[problem], optimizers=[optimizer], **choices)).cells
    return found


def stepper_of(cell: Cell, budget: int = 10**6, seed: int = 0) -> Stepper:
    return Stepper(cell, *load(cell.problem, SOURCE, cell.device), cell.optimizer.defaults, seed, Ledger(budget))


def test_a_newton_step_ends_in_the_minimum_of_its_batch() -> None:
    """On ½ mean (w − ξ)ᵀ D (w − ξ) that is the mean of the batch's ξ, whatever D is."""
    stepper = stepper_of(cell_of(f"{TINY}[condition=50]", f"{OWN}:Newton"))
    seen: list[Any] = []
    draw = stepper._next_batch
    stepper._next_batch = lambda: seen.append(draw()) or seen[-1]  # type: ignore[func-returns-value, method-assign]
    for _ in range(3):
        stepper.step()
        expected = seen[-1][0].numpy().mean(axis=0)
        np.testing.assert_allclose(stepper.model.position.detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("samples", [1, 3])
def test_each_second_backward_costs_two_example_gradients(samples: int) -> None:
    stepper = stepper_of(cell_of(TINY_NET, f"{OWN}:Newton[samples={samples}]"))
    for _ in range(4):
        stepper.step()
    ledger = stepper.ledger
    assert ledger.cost == 4 * 10 * (1 + 2 * samples)
    assert (ledger.forwards, ledger.backwards) == (4, 4 * (1 + samples))


def test_a_second_backward_that_the_budget_doesnt_cover_undoes_the_step() -> None:
    stepper = stepper_of(cell_of(TINY_NET, f"{OWN}:Newton"), budget=30 + 29)
    assert stepper.step()
    before = [p.detach().clone() for p in stepper.model.parameters()]
    assert not stepper.step()
    assert all(map(torch.equal, before, stepper.model.parameters()))
    assert (stepper.steps, stepper.ledger.cost) == (1, 40)


def test_an_operations_count_agrees_with_what_a_second_backward_is_charged() -> None:
    """Counted by torch: less than twice the gradient by what the first layer saves, which passes none on."""
    from torch.utils.flop_counter import FlopCounterMode

    layers = [layer for _ in range(8) for layer in (torch.nn.Linear(64, 64), torch.nn.Tanh())]
    model, inputs = torch.nn.Sequential(*layers), torch.randn(32, 64)
    own = list(model.parameters())
    with FlopCounterMode(display=False) as gradient:
        torch.autograd.grad(model(inputs).square().mean(), own)
    found = torch.autograd.grad(model(inputs).square().mean(), own, create_graph=True)
    with FlopCounterMode(display=False) as second:
        torch.autograd.grad(found, own, [torch.ones_like(part) for part in found])
    assert 1.8 < second.get_total_flops() / gradient.get_total_flops() < 2


def test_facts_of_the_run_reach_the_constructor() -> None:
    """Of 120 examples in tens, two and a half epochs are 30 steps and three epochs begun."""
    stepper = stepper_of(cell_of(TINY_NET, f"{OWN}:Asking", run_budget="2.5epochs"), budget=300)
    assert stepper.optimizer.defaults["asked"] == (30, 3)
    given = stepper_of(cell_of(TINY_NET, f"{OWN}:Asking[total_steps=7]", run_budget="2.5epochs"), budget=300)
    assert given.optimizer.defaults["asked"] == (7, 3)
    width = stepper_of(cell_of(TINY_NET, f"{OWN}:Told", batch_sizes=[20]))
    assert width.optimizer.defaults["width"] == 20


def test_an_own_schedule_is_the_matrix_schedule() -> None:
    ends = []
    pairs = (
        ("sgd[lr_schedule=cosine,lr_warmup=0.2]", "cosine[warmup=0.2]"),
        ("sgd[lr_schedule=wsd,lr_cooldown=8,lr_final=0.1,lr_warmup=5]", "wsd[decay=8,final=0.1,warmup=5]"),
        ('sgd[lr_schedule="restarts[factor=1]",lr_final=0.1]', "restarts[factor=1,final=0.1]"),
    )
    for pair in pairs:
        for optimizer, text in ((pair[0], "constant"), ("sgd", pair[1])):
            cell = cell_of(TINY_NET, optimizer, schedules=[text])
            problem, data = load(cell.problem, SOURCE, "cpu")
            record = train(cell, problem, data, {"lr": 0.5}, 3, 240, test=True)
            assert record.status == "ok", record.traceback
            ends.append((record.test_loss, record.points))
    assert ends[0::2] == ends[1::2]
    assert len({end[0] for end in ends}) == len(pairs)


def test_lengths_in_steps_are_the_gradients_of_batches() -> None:
    """L-BFGS computes several gradients per step, so its rate is full after fewer steps and the same compute."""
    cell = cell_of(TINY_NET, "lbfgs", schedules=["linear[warmup=20]"], run_budget="600examples")
    stepper, seen = stepper_of(cell, budget=600), []
    while stepper.ledger.affords_gradient(10):
        spent = stepper.ledger.cost
        stepper.step()
        place = (spent + 5) / 10  # in gradients of a batch, in the middle of the first one
        seen.append((stepper.optimizer.param_groups[0]["lr"], place / 20 if place < 20 else (60 - place) / 40))
    np.testing.assert_allclose(*zip(*seen, strict=True), rtol=1e-12)
    assert 3 < len(seen) < 30


def test_steps_beyond_a_timed_excerpt_keep_a_rate_above_zero() -> None:
    """A line search divides by the rate, and its steps may cost more than the excerpt was planned for."""
    for schedule in ("cosine", "linear", "wsd[shape=sqrt]"):
        cell = cell_of(TINY_NET, "lbfgs", schedules=[schedule])
        stepper = begin_excerpt(cell, *load(cell.problem, SOURCE, cell.device), 1, 100.0)
        rates = []
        for _ in range(8):
            stepper.step()
            rates.append(stepper.optimizer.param_groups[0]["lr"])
        assert stepper.ledger.cost > 110
        assert min(rates) > 0


class Rateless(torch.optim.Optimizer):
    """Moves by the sign of the gradient, always as far."""

    def __init__(self, params: Any, length: float = 1e-3) -> None:
        super().__init__(params, {"length": length})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["length"] * p.grad.sign())


def test_a_schedule_without_a_rate_to_set_is_remarked() -> None:
    rateless = stepper_of(cell_of(TINY_NET, f"{__file__}:Rateless", schedules=["cosine"]))
    rateless.step()
    assert rateless.remark == "the schedule had no effect: no parameter group has a learning rate `lr`"
    assert stepper_of(cell_of(TINY_NET, f"{__file__}:Rateless")).remark == ""
    assert stepper_of(cell_of(TINY_NET, "sgd", schedules=["cosine"])).remark == ""


def test_two_schedules_at_once_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"has its own lr_schedule or lr_warmup and can't be combined with schedule cosine"
    ):
        cell_of(TINY_NET, "sgd[lr_warmup=0.1]", schedules=["cosine"])
    assert cell_of(TINY_NET, "sgd[lr_warmup=0.1]").execution.reason == "the optimizer has its own schedule"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sgd[lr_schedule=cosin]", "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ("sgd[lr_warmup=1.0]", "is out of range (accepted: a fraction of at least 0 and less than 1, or a"),
        ('sgd[lr_schedule="cosine[warmup=0.1]"]', "is not a single shape without warm-up"),
    ],
)
def test_schedules_that_are_none(text: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        cell_of(TINY_NET, text)
    assert line in str(caught.value)


class TestSchedulesThatMeet:
    """One semantics in every execution: the schedule sets the rate, and a remark says so."""

    def test_eager_and_population_overwrite_alike(self) -> None:
        cell = cell_of(TINY_NET, f"{PASSES}:Decaying", schedules=["cosine"], run_budget="600examples")
        problem, data = load(cell.problem, SOURCE, cell.device)
        single = train(cell, problem, data, {"lr": 0.1}, 0, 600)
        [stacked] = train_population(cell, problem, data, [Replica({"lr": 0.1}, 0)], 600, from_zero=True)
        assert single.error == stacked.error == OVERWRITTEN
        np.testing.assert_allclose(
            [point.valid_loss for point in single.points], [point.valid_loss for point in stacked.points], rtol=1e-5
        )

    def test_at_a_constant_schedule_its_own_rates_hold(self) -> None:
        cell = cell_of(TINY_NET, f"{PASSES}:Decaying", run_budget="600examples")
        problem, data = load(cell.problem, SOURCE, cell.device)
        assert train(cell, problem, data, {"lr": 0.1}, 0, 600).error == ""

    def test_a_partner_is_scheduled_beside_a_main_class_without_a_rate(self) -> None:
        table = {"class": f"{PASSES}:Signs", "groups": {"bias": {"where": "ndim == 1", "base": "sgd"}}}
        choices = {"batch_sizes": [10], "devices": ["cpu"], "schedules": ["linear"], "run_budget": "100examples"}
        config = configure(problems=[TINY_NET], optimizers=["both"], optimizer={"both": table}, **choices)
        stepper = stepper_of(make_plan(config).cells[0], budget=100)
        rates = []
        while stepper.ledger.affords_gradient(10):
            stepper.step()
            rates.append(stepper.optimizer.param_groups[1]["lr"])
        assert "lr" not in stepper.optimizer.param_groups[0]
        np.testing.assert_allclose(np.array(rates) / rates[0] * 0.95, np.arange(0.95, 0, -0.1), rtol=1e-9)


def test_a_wrapper_cant_be_combined() -> None:
    wrapper = type("Wrapper", (torch.optim.SGD,), {"param_groups": property(lambda self: [])})
    with pytest.raises(UserError, match="Wrapper can't be combined with others"):
        combine([torch.optim.SGD([torch.zeros(1)]), object.__new__(wrapper)])
