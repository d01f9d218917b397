"""The smallest number of paired seeds that can decide anything. It needs no library, so plans can state it."""

from __future__ import annotations

import math


def fewest_pairs(alpha: float = 0.05, comparisons: int = 1, sides: int = 2) -> int:
    """Returns the smallest number of pairs with which a sign-flip test can be significant after Holm's adjustment.

    It is the smallest n with sides/2^n · comparisons ≤ alpha.

    Args:
        alpha: Significance level.
        comparisons: Number of tests in the family.
        sides: 2 for a two-sided test, 1 for a one-sided one.
    """
    return max(1, math.ceil(math.log2(sides * comparisons / alpha) - 1e-12))


def describe_few_seeds(seeds: int, optimizers: int) -> str:
    """Returns a text if a number of seeds is too small for any verdict between optimizers; empty if it isn't.

    >>> describe_few_seeds(6, 3)
    '6 seeds: too few to conclude that one optimizer beats another within one task. With 3 optimizers, a verdict needs \
at least 7 seeds.'
    >>> describe_few_seeds(7, 3)
    ''

    Args:
        seeds: Number of seeds.
        optimizers: Number of optimizers that are compared on one task, at least 2.
    """
    enough = fewest_pairs(comparisons=optimizers - 1)
    if seeds >= enough:
        return ""
    return (
        f"{seeds} seed{'s' * (seeds != 1)}: too few to conclude that one optimizer beats another within one task. "
        f"With {optimizers} optimizers, a verdict needs at least {enough} seeds."
    )
