"""Compute budgets, and the ledger that charges them.

The currency is the example gradient: forward and backward on one example cost 1, a forward pass
alone 1/3 (the backward pass of a network takes about twice the forward's operations; Kaplan et al.
2020, section 2.1). Costs are kept as whole thirds, so that sums are exact.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from optbench.errors import UserError

THIRDS = 3

#: The budget of a training that is measured, not compared: more than any that is computed.
UNLIMITED = 2**62
#: Thirds of differentiating the gradient of one example once more.
SECOND_BACKWARD = 6
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
        """The budget in example gradients. Seconds need the cell's own speed: see `timing`."""
        if self.unit == "seconds":
            raise ValueError("seconds become examples by a cell's measured speed only")
        return _examples(self.amount, training_examples if self.unit == "epochs" else 1)


@lru_cache(maxsize=256)
def _examples(amount: float, passed: int) -> int:
    # In decimal fractions as they were written: 0.29 epochs of 100 examples are 29, not 28.
    return math.floor(Fraction(str(amount)) * passed)


def parse_budget(text: str) -> Budget:
    """`2epochs`, `20000examples` or `30seconds`; raises UserError for anything else."""
    match = _FORM.fullmatch(text)
    if not match or not 0 < float(match[1]) < math.inf:
        raise UserError(f"run budget {text!r} is not an amount (accepted: 2epochs, 20000examples, 30seconds)")
    return Budget(float(match[1]), _UNITS.get(match[2].lower(), "seconds"))


class BudgetExhausted(Exception):
    """Raised by the ledger in place of a charge that would overspend."""


class Ledger:
    """Counts what a training computes, and refuses what its budget does not cover.

    `forwards` and `backwards` count passes (of a whole batch), `thirds` the cost in thirds of an
    example gradient.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.thirds = 0
        self.forwards = 0
        self.backwards = 0

    @property
    def cost(self) -> float:
        """What was charged, in example gradients."""
        return self.thirds / THIRDS

    def affords_gradient(self, examples: int) -> bool:
        return self.thirds + THIRDS * examples <= THIRDS * self.budget

    def charge_gradient(self, examples: int) -> None:
        """Charges a forward and a backward pass over a batch, before they are computed."""
        if self.thirds + THIRDS * examples > THIRDS * self.budget:
            raise BudgetExhausted
        self.thirds += THIRDS * examples
        self.forwards += 1
        self.backwards += 1

    def charge_backward(self, examples: int) -> None:
        """Charges a backward pass alone, such as a second one through a loss: 2/3 per example."""
        if self.thirds + (THIRDS - 1) * examples > THIRDS * self.budget:
            raise BudgetExhausted
        self.thirds += (THIRDS - 1) * examples
        self.backwards += 1

    def charge_second_backward(self, examples: int) -> None:
        """Charges differentiating a gradient over a batch once more, as a Hessian's product with a vector takes.

        Differentiating costs twice the operations that are differentiated, here those of an example gradient: 2.
        """
        if self.thirds + SECOND_BACKWARD * examples > THIRDS * self.budget:
            raise BudgetExhausted
        self.thirds += SECOND_BACKWARD * examples
        self.backwards += 1

    def charge_forward(self, examples: int) -> None:
        """Charges a forward pass without a backward one, before it is computed."""
        if self.thirds + examples > THIRDS * self.budget:
            raise BudgetExhausted
        self.thirds += examples
        self.forwards += 1
