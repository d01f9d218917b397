"""Measures two sides in turn and reports the ratios of their pairs.

Single times on a shared machine are not reliable. Therefore every comparison alternates its sides in one sitting
(A B, B A, …) and reports the median of the ratios with their range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ratio:
    """The ratios of side A to side B, in pairs that were measured one after the other.

    `target` is the value that the ratio should reach; `better` is `high` or `low`.
    """

    name: str
    unit: str
    a: np.ndarray
    b: np.ndarray
    target: float | None = None
    better: str = "high"

    @property
    def ratio(self) -> float:
        return float(np.median(self.a / self.b))

    @property
    def met(self) -> bool:
        """Whether the median ratio reaches the target, if there is one."""
        if self.target is None:
            return True
        return self.ratio >= self.target if self.better == "high" else self.ratio <= self.target

    def row(self) -> tuple[str, ...]:
        ratios = self.a / self.b
        sign = "≥" if self.better == "high" else "≤"
        return (
            self.name,
            f"{np.median(self.a):,.4g}",
            f"{np.median(self.b):,.4g}",
            self.unit,
            f"{self.ratio:.3f}",
            f"{ratios.min():.3f} – {ratios.max():.3f}",
            str(len(ratios)),
            "" if self.target is None else f"{sign} {self.target:g}",
        )


HEAD = ("comparison (A / B)", "A", "B", "unit", "A / B", "range", "n", "target")


def compare(
    name: str,
    unit: str,
    a: Callable[[], float],
    b: Callable[[], float],
    pairs: int,
    target: float | None = None,
    better: str = "high",
) -> Ratio:
    """Measures two sides in turn (A B, B A, …), after one pair that is not recorded.

    Args:
        name: What is compared, as "A / B".
        unit: The unit of both sides.
        a: A function that measures side A once.
        b: A function that measures side B once.
        pairs: The number of pairs.
        target: The value that the ratio should reach.
        better: `high` or `low`.
    """
    a(), b()
    measured: dict[str, list[float]] = {"a": [], "b": []}
    for pair in range(pairs):
        order = ("a", "b") if pair % 2 == 0 else ("b", "a")
        for side in order:
            measured[side].append((a if side == "a" else b)())
    return Ratio(name, unit, np.array(measured["a"]), np.array(measured["b"]), target, better)
