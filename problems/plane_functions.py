"""Functions of two variables by which optimizers are traditionally shown: without data, without noise, in float64."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optbench.errors import out_of_range
from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource, Plane

if TYPE_CHECKING:
    from torch import Tensor, nn

#: The part of the initial excess over the minimum at which a function counts as minimised.
_SOLVED = 1e-3
#: Rastrigin's function is shown up to so far from its minimum.
_REACH = 3.5
#: The factor of Branin's cosine.
_BRANIN = 10 * (1 - 1 / (8 * math.pi))
#: The lowest root of 4v³ − 32v + 5, by Viète's formula.
_LOWEST = 2 * math.sqrt(8 / 3) * math.cos(math.acos(-15 / 64 * math.sqrt(3 / 8)) / 3 + 2 * math.pi / 3)


@dataclass(frozen=True)
class PlaneFunction(Problem):
    """A function f(x, y), less its minimum. One example stands for all: a step costs one example gradient.

    Validation and test are the function itself. Loss and metric are f(x, y) − `minimum_value`.
    """

    kind: ClassVar[Literal["network", "quadratic", "function"]] = "function"
    metric_name: ClassVar[str] = "suboptimality"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (1,)
    run_budget: ClassVar[str] = "1000examples"

    @abstractmethod
    def value(self, x: Any, y: Any) -> Any:
        """f(x, y) of numbers or tensors, elementwise."""

    @property
    @abstractmethod
    def plane(self) -> Plane: ...

    @cached_property
    def minimum_value(self) -> float:
        """What f is at its minimum: that is where `plane` has it, unless said otherwise."""
        return self._at(self.plane.minimum)

    @property
    def microseconds_per_step(self) -> float:
        return 150.0

    @property
    def microseconds_per_example(self) -> float:
        return 0.0

    def training_examples(self) -> int:
        return 1

    def model(self) -> nn.Module:
        """The position (x, y), the same start whatever the seed."""
        import torch

        model = torch.nn.Module()
        start = torch.tensor(self.plane.start, dtype=torch.float64)
        model.register_parameter("position", torch.nn.Parameter(start))
        return model

    def load_data(self, source: DataSource) -> Data:
        """One example that says nothing, (1, 1), as all three splits. Reads nothing."""
        import torch

        split = (torch.zeros(1, 1, dtype=torch.float64),)
        return Data(split, split, split)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        position: Any = model.position
        return self._excess(position[0], position[1])

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.loss(model, batch)

    def stacked_loss(self, model: nn.Module, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        return self._excess(*parameters["position"].unbind(-1))

    def stacks(self, device_type: str, batch_size: int) -> bool:
        return True

    @property
    def target(self) -> float | None:
        return _SOLVED * (self._at(self.plane.start) - self.minimum_value)

    def _excess(self, x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = self.value(x, y)
        # Where there is nothing to subtract, that would be one more operation a step.
        return found - self.minimum_value if self.minimum_value else found

    def _at(self, place: tuple[float, float]) -> float:
        try:
            return float(self.value(*place))
        except (TypeError, AttributeError):  # a function of one's own may be made of torch's, which refuse numbers
            import torch

            return float(self.value(*torch.tensor(place, dtype=torch.float64)))


@dataclass(frozen=True)
class Rosenbrock(PlaneFunction):
    """Rosenbrock's curved valley, (1 − x)² + `steepness` (y − x²)², from (−1.2, 1); minimum at (1, 1).

    Tells apart: methods that follow a narrow, curved valley from those that zigzag across it.

    Rosenbrock (1960), An Automatic Method for Finding the Greatest or Least Value of a Function.
    """

    name: ClassVar[str] = "rosenbrock"

    steepness: float = 100.0

    def check(self) -> None:
        if not 0 < self.steepness <= 1e9:
            raise out_of_range("rosenbrock[steepness]", self.steepness, "above 0, at most 1e9")

    def value(self, x: Any, y: Any) -> Any:
        return (1 - x) ** 2 + self.steepness * (y - x**2) ** 2

    @property
    def plane(self) -> Plane:
        return Plane(start=(-1.2, 1.0), minimum=(1.0, 1.0), domain=((-2.0, 2.0), (-1.0, 3.0)))

    @property
    def curvature(self) -> float | None:
        b = self.steepness
        return _larger_eigenvalue(2 + 8 * b, -4 * b, 2 * b)


@dataclass(frozen=True)
class Rastrigin(PlaneFunction):
    """Rastrigin's bowl full of local minima, x² + y² + `ripple` (2 − cos 2πx − cos 2πy), from (`x`, `y`).

    Minimum at (0, 0); the local ones are near the whole numbers. Rastrigin (1974), in two dimensions.

    Tells apart: methods whose steps carry them over ripples from those that end in the nearest hollow, as most do.
    """

    name: ClassVar[str] = "rastrigin"

    ripple: float = 10.0
    x: float = 2.8
    y: float = 1.9

    def check(self) -> None:
        for axis in ("x", "y"):
            if not -_REACH < getattr(self, axis) < _REACH:
                raise out_of_range(f"rastrigin[{axis}]", getattr(self, axis), f"between -{_REACH} and {_REACH}")
        if not 0 <= self.ripple <= 1e9:
            raise out_of_range("rastrigin[ripple]", self.ripple, "0 to 1e9")

    def value(self, x: Any, y: Any) -> Any:
        return x**2 + y**2 + self.ripple * (2 - _cos(2 * math.pi * x) - _cos(2 * math.pi * y))

    @property
    def plane(self) -> Plane:
        return Plane(start=(self.x, self.y), minimum=(0.0, 0.0), domain=((-_REACH, _REACH),) * 2)

    @property
    def curvature(self) -> float | None:
        return 2 + 4 * math.pi**2 * self.ripple


@dataclass(frozen=True)
class Beale(PlaneFunction):
    """Beale's function, Σᵢ (cᵢ − x (1 − yⁱ))² with c = 1.5, 2.25, 2.625, from (1, 1); minimum at (3, ½).

    A flat plain with steep rims.

    Tells apart: methods that make way where gradients are small, and don't fly off where they are large.

    Beale (1958); start of Moré, Garbow and Hillstrom (1981), problem 5.
    """

    name: ClassVar[str] = "beale"

    def value(self, x: Any, y: Any) -> Any:
        return (1.5 - x * (1 - y)) ** 2 + (2.25 - x * (1 - y**2)) ** 2 + (2.625 - x * (1 - y**3)) ** 2

    @property
    def plane(self) -> Plane:
        return Plane(start=(1.0, 1.0), minimum=(3.0, 0.5), domain=((-1.0, 4.5), (-1.5, 1.5)))

    @property
    def curvature(self) -> float | None:
        # JᵀJ twice, with the residuals' derivatives −(1 − yⁱ) and i x yⁱ⁻¹ at the minimum.
        across, along = [-0.5, -0.75, -0.875], [3.0, 3.0, 2.25]
        pairs = [zip(first, second, strict=True) for first, second in
                 ((across, across), (across, along), (along, along))]  # fmt: skip
        return _larger_eigenvalue(*(2 * sum(a * b for a, b in pair) for pair in pairs))


@dataclass(frozen=True)
class Branin(PlaneFunction):
    """Branin's function less its minimum, (y − 5.1 x²/4π² + 5x/π − 6)² + 10 (1 − 1/8π) (1 + cos x), from (0, 10).

    Three valleys with a minimum each, all equally low, of which (−π, 12.275) is the nearest.

    Tells apart: how fast methods settle in the nearest valley; to overshoot it costs time alone.

    Branin (1972), Widely
    Convergent Method for Finding Multiple Solutions of Simultaneous Nonlinear Equations; Dixon and Szegő (1978).
    """

    name: ClassVar[str] = "branin"

    def value(self, x: Any, y: Any) -> Any:
        # Its minimum is 10/8π: without that the last term is 10 (1 − 1/8π) cos x + 10.
        bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
        return bent**2 + _BRANIN * (1 + _cos(x))

    @property
    def plane(self) -> Plane:
        return Plane(start=(0.0, 10.0), minimum=(-math.pi, 12.275), domain=((-5.0, 10.0), (0.0, 15.0)))

    @property
    def curvature(self) -> float | None:
        slope = 7.55 / math.pi
        return _larger_eigenvalue(2 * slope**2 + _BRANIN, 2 * slope, 2.0)


@dataclass(frozen=True)
class StyblinskiTang(PlaneFunction):
    """Styblinski and Tang's function less its minimum, ½ Σ (v⁴ − 16 v² + 5 v) + 78.33… of v = x, y, from (`x`, `y`).

    Four minima, of which the one at (−2.9035, −2.9035) is the lowest.

    Tells apart: how fast methods get off a crest, where gradients are small, and stop in the minimum below; from an `x`
    above 0.16 that is a higher one, past which momentum may carry them.

    Styblinski and Tang (1990), Experiments in
    Nonconvex Optimization.
    """

    name: ClassVar[str] = "styblinski_tang"

    x: float = 0.1
    y: float = -1.0

    def check(self) -> None:
        for axis in ("x", "y"):
            if not -5 < getattr(self, axis) < 5:
                raise out_of_range(f"styblinski_tang[{axis}]", getattr(self, axis), "between -5 and 5")

    def value(self, x: Any, y: Any) -> Any:
        # With the double root taken out, so that the minimum is 0 and no difference of large numbers.
        def part(v: Any) -> Any:
            return 0.5 * (v - _LOWEST) ** 2 * (v**2 + 2 * _LOWEST * v + 3 * _LOWEST**2 - 16)

        return part(x) + part(y)

    @property
    def plane(self) -> Plane:
        return Plane(start=(self.x, self.y), minimum=(_LOWEST, _LOWEST), domain=((-5.0, 5.0),) * 2)

    @property
    def curvature(self) -> float | None:
        return 6 * _LOWEST**2 - 16


def _cos(angle: Any) -> Any:
    """Of a number without torch, which planning doesn't need."""
    return math.cos(angle) if isinstance(angle, float) else angle.cos()


def _larger_eigenvalue(a: float, b: float, c: float) -> float:
    """Of the symmetric matrix ((a, b), (b, c))."""
    return (a + c) / 2 + (((a - c) / 2) ** 2 + b**2) ** 0.5
