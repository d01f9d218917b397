"""Amounts are read exactly, and the ledger never lets a training overspend."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.budget import Budget, BudgetExhausted, Ledger, parse_budget
from optbench.errors import UserError


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("2epochs", 2, "epochs"),
        ("1epoch", 1, "epochs"),
        ("0.5 epochs", 0.5, "epochs"),
        (".25epochs", 0.25, "epochs"),
        ("20000examples", 20_000, "examples"),
        ("1example", 1, "examples"),
        ("2e4examples", 20_000, "examples"),
        ("30seconds", 30, "seconds"),
        ("1second", 1, "seconds"),
        (" 30 S ", 30, "seconds"),
        ("3EPOCHS", 3, "epochs"),
    ],
)
def test_amounts(text: str, amount: float, unit: str) -> None:
    assert parse_budget(text) == Budget(amount, unit)


@pytest.mark.parametrize(
    "text",
    ["", "epochs", "2", "2 parsecs", "0epochs", "0.0seconds", "-1epochs", "nanepochs", "infepochs", "1e999examples",
     "1e-999epochs", "2epochsx", "2e epochs", "1,000examples", "2\nepochs epochs", "١epochsx"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_budget(text)
    assert repr(text) in str(caught.value)
    assert "(accepted: amounts such as 2epochs, 20000examples, 30seconds)" in str(caught.value)


@given(st.text())
def test_garbage_raises_nothing_but_user_errors(text: str) -> None:
    try:
        budget = parse_budget(text)
    except UserError:
        return
    assert 0 < budget.amount < math.inf


@given(st.floats(min_value=1e-300, max_value=1e300), st.sampled_from(["epochs", "examples", "seconds"]))
def test_a_budget_reads_back_as_it_is_written(amount: float, unit: str) -> None:
    assert parse_budget(str(Budget(amount, unit))) == Budget(amount, unit)


@given(st.integers(1, 10**6), st.integers(0, 4), st.integers(1, 10**6))
def test_epochs_are_exact_in_decimals(digits: int, places: int, examples: int) -> None:
    """0.29 epochs of 100 examples are 29 examples, though 0.29 * 100 is less than 29 in floating point."""
    amount = Fraction(digits, 10**places)
    budget = parse_budget(f"{digits}e-{places}epochs")
    assert budget.examples(examples) == math.floor(amount * examples)


def test_examples_do_not_depend_on_the_size_of_the_training_set() -> None:
    assert parse_budget("1234567examples").examples(10) == 1_234_567
    assert parse_budget("0.29epochs").examples(100) == 29


def test_seconds_are_no_examples() -> None:
    with pytest.raises(ValueError, match="measured speed"):
        parse_budget("30seconds").examples(100)


_charges = st.lists(st.tuples(st.booleans(), st.integers(1, 50)), max_size=40)


@given(budget=st.integers(0, 300), charges=_charges)
def test_the_ledger_is_exact_in_thirds_and_never_overspent(budget: int, charges: list[tuple[bool, int]]) -> None:
    """Against plain arithmetic: a charge that does not fit raises and leaves everything as it was."""
    ledger = Ledger(budget)
    cost, forwards, backwards = Fraction(0), 0, 0
    for gradient, examples in charges:
        price = Fraction(examples) if gradient else Fraction(examples, 3)
        fits = cost + price <= budget
        if gradient:
            assert ledger.affords_gradient(examples) == fits
        charge = ledger.charge_gradient if gradient else ledger.charge_forward
        if fits:
            charge(examples)
            cost, forwards, backwards = cost + price, forwards + 1, backwards + gradient
        else:
            with pytest.raises(BudgetExhausted):
                charge(examples)
        assert ledger.thirds == cost * 3
        assert ledger.cost == float(cost)
        assert (ledger.forwards, ledger.backwards) == (forwards, backwards)
    assert ledger.cost <= budget


@pytest.mark.parametrize("thirds", range(10))
def test_the_last_third_decides(thirds: int) -> None:
    """A budget of three example gradients, of which some thirds are spent on forward passes."""
    ledger = Ledger(3)
    ledger.charge_forward(thirds)
    for examples, price in ((1, 3), (2, 6), (3, 9)):
        assert ledger.affords_gradient(examples) == (thirds + price <= 9)
    for charge, price in ((ledger.charge_gradient, 3), (ledger.charge_forward, 1)):
        before = ledger.thirds
        if before + price > 9:
            with pytest.raises(BudgetExhausted):
                charge(1)
            assert ledger.thirds == before
        else:
            charge(1)
            assert ledger.thirds == before + price


def test_three_forward_passes_cost_one_gradient_to_the_bit() -> None:
    ledger = Ledger(10**12)
    for _ in range(3_000):
        ledger.charge_forward(7)
    assert ledger.cost == 7_000
