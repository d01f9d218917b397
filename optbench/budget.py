"""Compute budgets, and the ledger that charges them.

The unit of cost is the example gradient: a forward and a backward pass on one example cost 1, a forward pass alone
costs 1/3, because the backward pass of a network takes about twice as many operations as the forward pass (Kaplan et
al. 2020, section 2.1). Costs are stored as whole thirds, so that sums are exact.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from optbench.errors import UserError

#: Thirds per example gradient.
THIRDS = 3

#: Budget of a training that is only timed and must not run out of budget.
UNLIMITED = 2**62
#: Cost of differentiating the gradient of one example a second time, in thirds of an example gradient.
SECOND_BACKWARD = 6
#: Tuned cells are run at the default hyperparameters on this number of seeds, which is enough for a median.
UNTUNED_SEEDS = 3
_FORM = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*(epochs?|examples?|seconds?|s)\s*", re.IGNORECASE)
_UNITS = {"epoch": "epochs", "epochs": "epochs", "example": "examples", "examples": "examples"}


@dataclass(frozen=True)
class Budget:
    """An amount of training: epochs (passes over the training split), examples or seconds."""

    amount: float
    unit: str

    def __str__(self) -> str:
        return f"{str(self.amount).removesuffix('.0')}{self.unit}"

    def examples(self, training_examples: int) -> int:
        """Convert the budget to example gradients.

        Args:
            training_examples: Size of the training split, by which epochs are converted.

        Raises:
            ValueError: If the budget is in seconds; that conversion needs the measured speed of a cell.
        """
        if self.unit == "seconds":
            raise ValueError("a budget in seconds can only be converted with a cell's measured speed")
        return _examples(self.amount, training_examples if self.unit == "epochs" else 1)


@lru_cache(maxsize=256)
def _examples(amount: float, examples_per_unit: int) -> int:
    # Exact decimal arithmetic: 0.29 epochs of 100 examples are 29 examples, not 28.
    return math.floor(Fraction(str(amount)) * examples_per_unit)


def parse_budget(text: str) -> Budget:
    """Parse a run budget such as `2epochs`, `20000examples` or `30seconds`.

    Raises:
        UserError: If the text has another form or the amount is not a positive, finite number.
    """
    match = _FORM.fullmatch(text)
    if not match or not 0 < float(match[1]) < math.inf:
        raise UserError(f"invalid run budget {text!r} (accepted: amounts such as 2epochs, 20000examples, 30seconds)")
    return Budget(float(match[1]), _UNITS.get(match[2].lower(), "seconds"))


class BudgetExhausted(Exception):
    """Raised by the ledger when a charge would exceed the budget."""


class Ledger:
    """Counts the compute of a training and refuses charges that exceed its budget.

    `budget` is in example gradients. `forwards` and `backwards` count passes over a batch, and `thirds` is the cost so
    far in thirds of an example gradient. `length` is the cost over which schedules and frozen parts are spread: the
    budget, unless steps are only timed. `limit` is what may be charged until a training pauses, in thirds: the budget,
    or less.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.length: float = budget
        self.limit = THIRDS * budget
        self.thirds = 0
        self.forwards = 0
        self.backwards = 0

    @property
    def cost(self) -> float:
        """The total charged so far, in example gradients."""
        return self.thirds / THIRDS

    def spent_share(self, ahead: float = 0.0) -> float:
        """The share of `length` that is spent, from 0 on.

        Args:
            ahead: Cost in example gradients that is added to what is spent.
        """
        return (self.cost + ahead) / self.length

    def affords_gradient(self, examples: int) -> bool:
        """Whether the remaining budget covers the gradient of a batch of `examples`."""
        return self.thirds + THIRDS * examples <= self.limit

    def charge_gradient(self, examples: int) -> None:
        """Charge a forward and a backward pass over a batch, before they are computed.

        Raises:
            BudgetExhausted: If the remaining budget does not cover the charge; nothing is charged then.
        """
        if self.thirds + THIRDS * examples > self.limit:
            raise BudgetExhausted
        self.thirds += THIRDS * examples
        self.forwards += 1
        self.backwards += 1

    def charge_backward(self, examples: int) -> None:
        """Charges a backward pass alone, such as a second one through a loss: 2/3 per example."""
        if self.thirds + (THIRDS - 1) * examples > self.limit:
            raise BudgetExhausted
        self.thirds += (THIRDS - 1) * examples
        self.backwards += 1

    def charge_second_backward(self, examples: int) -> None:
        """Charge a second differentiation of a batch's gradient, as in a Hessian-vector product.

        Differentiation takes twice as many operations as the computation that is differentiated. Here that is one
        example gradient, so the cost is 2 per example.

        Raises:
            BudgetExhausted: If the remaining budget does not cover the charge; nothing is charged then.
        """
        if self.thirds + SECOND_BACKWARD * examples > self.limit:
            raise BudgetExhausted
        self.thirds += SECOND_BACKWARD * examples
        self.backwards += 1

    def charge_forward(self, examples: int) -> None:
        """Charge a forward pass without a backward pass, before it is computed.

        Raises:
            BudgetExhausted: If the remaining budget does not cover the charge; nothing is charged then.
        """
        if self.thirds + examples > self.limit:
            raise BudgetExhausted
        self.thirds += examples
        self.forwards += 1
