"""Classical test functions of two variables for optimizers, without data and without noise, in float64."""

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

#: Share of the initial suboptimality at which a function counts as minimised.
_SOLVED = 1e-3
#: Half the width of the region in which Rastrigin's function is shown, around its minimum.
_REACH = 3.5
#: Amplitude of the cosine in Branin's function.
_BRANIN = 10 * (1 - 1 / (8 * math.pi))
#: The lowest root of 4v³ − 32v + 5, by Viète's formula.
_LOWEST = 2 * math.sqrt(8 / 3) * math.cos(math.acos(-15 / 64 * math.sqrt(3 / 8)) / 3 + 2 * math.pi / 3)


@dataclass(frozen=True)
class PlaneFunction(Problem):
    """A function f(x, y) to minimise. It has a single example, so that a step costs one example gradient.

    Loss and metric are f(x, y) − `minimum_value`, in all three splits.
    """

    kind: ClassVar[Literal["network", "quadratic", "function"]] = "function"
    metric_name: ClassVar[str] = "suboptimality"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (1,)
    run_budget: ClassVar[str] = "1000examples"

    @abstractmethod
    def value(self, x: Any, y: Any) -> Any:
        """Return f(x, y), elementwise, for numbers or tensors."""

    @property
    @abstractmethod
    def plane(self) -> Plane: ...

    @cached_property
    def minimum_value(self) -> float:
        """The minimum of f: by default its value at `plane.minimum`."""
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
        """Return a model with the parameter `position`, (2,), which starts at `plane.start` for all seeds."""
        import torch

        model = torch.nn.Module()
        start = torch.tensor(self.plane.start, dtype=torch.float64)
        model.register_parameter("position", torch.nn.Parameter(start))
        return model

    def load_data(self, source: DataSource) -> Data:
        """Return a single dummy example, (1, 1), as all three splits; no files are read."""
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
        value: Tensor = self.value(x, y)
        # If the minimum is 0, the subtraction is skipped, which saves an operation per step.
        return value - self.minimum_value if self.minimum_value else value

    def _at(self, point: tuple[float, float]) -> float:
        try:
            return float(self.value(*point))
        except (TypeError, AttributeError):  # a user's function may call torch functions, which reject plain numbers
            import torch

            return float(self.value(*torch.tensor(point, dtype=torch.float64)))


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
    """Rastrigin's bowl with many local minima, x² + y² + `ripple` (2 − cos 2πx − cos 2πy), from (`x`, `y`).

    The global minimum is at (0, 0); local minima are near the points with integer coordinates. Rastrigin (1974), in two
    dimensions.

    Tells apart: methods whose steps carry them across ripples from those that end in the nearest local minimum, as most
    do.
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

    The function is flat around its minimum and steep at the rims.

    Tells apart: methods that make progress where gradients are small and stay stable where gradients are large.

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
        # The Hessian is 2 JᵀJ, with the derivatives −(1 − yⁱ) and i x yⁱ⁻¹ of the residuals at the minimum.
        across, along = [-0.5, -0.75, -0.875], [3.0, 3.0, 2.25]
        pairs = [zip(first, second, strict=True) for first, second in
                 ((across, across), (across, along), (along, along))]  # fmt: skip
        return _larger_eigenvalue(*(2 * sum(a * b for a, b in pair) for pair in pairs))


@dataclass(frozen=True)
class Branin(PlaneFunction):
    """Branin's function minus its minimum, (y − 5.1 x²/4π² + 5x/π − 6)² + 10 (1 − 1/8π) (1 + cos x), from (0, 10).

    It has three valleys with equally low minima; (−π, 12.275) is the nearest one.

    Tells apart: methods by how fast they settle in the nearest valley; overshooting only costs time.

    Branin (1972), Widely Convergent Method for Finding Multiple Solutions of Simultaneous Nonlinear Equations; Dixon
    and Szegő (1978).
    """

    name: ClassVar[str] = "branin"

    def value(self, x: Any, y: Any) -> Any:
        # The minimum is 10/8π. Subtracting it turns 10 (1 − 1/8π) cos x + 10 into 10 (1 − 1/8π) (1 + cos x).
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
    """Styblinski and Tang's function minus its minimum, ½ Σ (v⁴ − 16 v² + 5 v) + 78.33… with v = x, y, from (`x`, `y`).

    It has four minima; the lowest one is at (−2.9035, −2.9035).

    Tells apart: methods by how fast they leave a ridge, where gradients are small, and settle in the minimum below; if
    `x` is above 0.16, this is not the lowest minimum, and momentum may carry them past it.

    Styblinski and Tang (1990), Experiments in Nonconvex Optimization.
    """

    name: ClassVar[str] = "styblinski_tang"

    x: float = 0.1
    y: float = -1.0

    def check(self) -> None:
        for axis in ("x", "y"):
            if not -5 < getattr(self, axis) < 5:
                raise out_of_range(f"styblinski_tang[{axis}]", getattr(self, axis), "between -5 and 5")

    def value(self, x: Any, y: Any) -> Any:
        # Factored by the double root at the minimum, so that the minimum is exactly 0, without cancellation.
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
    """Cosine of a number or a tensor; numbers are handled without torch, which planning must not import."""
    return math.cos(angle) if isinstance(angle, float) else angle.cos()


def _larger_eigenvalue(a: float, b: float, c: float) -> float:
    """The larger eigenvalue of the symmetric matrix ((a, b), (b, c))."""
    return (a + c) / 2 + (((a - c) / 2) ** 2 + b**2) ** 0.5
