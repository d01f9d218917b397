"""A plane of constant gradient: what an optimizer does where nothing but its own rule changes the step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from optbench.problem.data import Plane
from optbench.problems.plane_functions import PlaneFunction


@dataclass(frozen=True)
class Slope(PlaneFunction):
    """f(x, y) = −x, whose gradient is (−1, 0) everywhere; it has no minimum, and is measured from 0."""

    name: ClassVar[str] = "slope"

    def value(self, x: Any, y: Any) -> Any:
        return 0 * y - x

    @property
    def plane(self) -> Plane:
        return Plane(start=(0.0, 0.0), minimum=(1.0, 0.0), domain=((-1.0, 1.0), (-1.0, 1.0)))

    @cached_property
    def minimum_value(self) -> float:
        return 0.0

    @property
    def target(self) -> float | None:
        return None
