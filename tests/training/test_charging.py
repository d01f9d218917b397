"""Whatever an optimizer computes in its step is charged: passes of autograd, and gradients where they are read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.budget import Ledger
from optbench.training.charging import charged_passes
from optbench.training.stepper import Stepper
from tests.support.passes import PASSES
from tests.support.tiny import TINY_NET
from tests.training.test_stepper import cell_of, stepper_of

BATCH = 10
#: Thirds of an example gradient that each letter of a program costs: see `passes.Program`.
PRICES = {"g": 3, "f": 1, "l": 2, "h": 6, "b": 6}


def program(text: str, budget: int = 10**6) -> Stepper:
    return stepper_of(cell_of(TINY_NET, f"{PASSES}:Program[program={text}]"), budget)


@given(st.text("fglhbp", max_size=7).map(lambda text: f"g{text}"))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_program_costs_what_its_calls_of_autograd_cost(text: str) -> None:
    stepper = program(text)
    parameters = len(list(stepper.model.parameters()))
    assert stepper.step()
    prices = {**PRICES, "p": 6 * parameters}
    assert stepper.ledger.thirds == BATCH * sum(prices[letter] for letter in text)
    assert stepper.ledger.forwards == text.count("g") + text.count("f")
    passes = {"g": 1, "l": 1, "h": 1, "b": 1, "p": parameters, "f": 0}
    assert stepper.ledger.backwards == sum(passes[letter] for letter in text)


@pytest.mark.parametrize("text", ["ghh", "gp", "gll"])
def test_a_pass_that_the_budget_doesnt_cover_undoes_the_step(text: str) -> None:
    stepper = program(text, budget=2 * BATCH)
    before = [parameter.detach().clone() for parameter in stepper.model.parameters()]
    assert not stepper.step()
    assert stepper.ledger.cost <= 2 * BATCH
    assert all(torch.equal(a, b) for a, b in zip(before, stepper.model.parameters(), strict=True))


def test_outside_of_a_step_nothing_is_charged() -> None:
    ledger, weight = Ledger(100), torch.ones(3, requires_grad=True)
    with charged_passes(ledger, BATCH, []) as unpaid:
        with unpaid():
            (weight**2).sum().backward()
        assert ledger.thirds == 0
    (weight**2).sum().backward()
    assert ledger.thirds == 0


def test_the_engine_is_back_after_an_exception() -> None:
    engine = torch.autograd.graph._engine_run_backward
    with pytest.raises(ZeroDivisionError), charged_passes(Ledger(1), BATCH, []):
        raise ZeroDivisionError
    assert torch.autograd.graph._engine_run_backward is engine
