"""A physics-informed network: it is trained to solve a differential equation without data of the solution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.errors import out_of_range
from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

_POINTS_SEED = 4
#: Amplitude of the second sine in the solution.
_SECOND = 0.5
#: Number of validation points, and of test points.
_HELD_OUT = 250
#: Maximum number of units per layer times batch size at which stacked replicas are faster on a CPU (by a factor of 4.6
#: to 1.6). At twice this number they are not faster.
_STACKED_AT_MOST = 8_000


@dataclass(frozen=True)
class Pinn(Problem):
    """A tanh network that solves Poisson's equation −u″ = f on [0, 1] with u(0) = u(1) = 0; in float64.

    The solution is u = sin πx + ½ sin kπx with k = `frequency`, which determines f. The loss is the mean of (û″ + f)²
    over collocation points, relative to the mean of f², plus `boundary` times û(0)² + û(1)², with the network û. The
    examples are points drawn once from a uniform distribution; `points` of them are for training. The metric is the
    squared relative L2 error ∫ (u − û)² / ∫ u², estimated on separate points; papers usually report its square root.
    The network has `layers` hidden layers of `hidden` tanh units, with torch's default initialisation.

    Tells apart: methods by orders of magnitude, because derivatives make the loss ill-conditioned and there is little
    noise: gradient descent stays far from the solution, Adam needs many steps, and L-BFGS, which uses curvature, few.

    Raissi, Perdikaris and Karniadakis (2019), Physics-informed neural networks; Rathore et al. (2024), Challenges in
    Training PINNs: A Loss Landscape Perspective.
    """

    name: ClassVar[str] = "pinn"
    metric_name: ClassVar[str] = "relative squared error"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (100, 500)
    run_budget: ClassVar[str] = "400epochs"

    frequency: int = 4
    points: int = 500
    hidden: int = 32
    layers: int = 2
    boundary: float = 1.0

    def check(self) -> None:
        for parameter, low, high in (
            ("frequency", 2, 100),
            ("points", 1, 10**6),
            ("hidden", 1, 4096),
            ("layers", 1, 100),
        ):
            if not low <= getattr(self, parameter) <= high:
                raise out_of_range(f"pinn[{parameter}]", getattr(self, parameter), f"{low} to {high}")
        if not 0 < self.boundary <= 1e9:
            raise out_of_range("pinn[boundary]", self.boundary, "above 0, at most 1e9")

    def training_examples(self) -> int:
        return self.points

    @property
    def microseconds_per_example(self) -> float:
        return 0.03 * self.hidden * self.layers

    @property
    def microseconds_per_step(self) -> float:
        return 300.0 + 300.0 * self.layers

    def stacks(self, device_type: str, batch_size: int) -> bool:
        return device_type != "cpu" or self.hidden * batch_size <= _STACKED_AT_MOST

    def model(self) -> nn.Module:
        from optbench.problems.taylor import TanhNetwork

        return TanhNetwork(self.hidden, self.layers)

    def load_data(self, source: DataSource) -> Data:
        """Generate points x with f(x) and the solution u(x), float64, (N,) each; no files are read."""
        import numpy as np
        import torch

        x = np.random.RandomState(_POINTS_SEED).uniform(size=self.points + 2 * _HELD_OUT)
        columns = tuple(torch.from_numpy(column) for column in (x, self.force(x), self.solution(x)))
        parts = zip(*(column.split([self.points, _HELD_OUT, _HELD_OUT]) for column in columns), strict=True)
        return Data(*parts)

    def solution(self, x: np.ndarray) -> np.ndarray:
        """Return the solution u at points x, (N,)."""
        import numpy as np

        return np.sin(math.pi * x) + _SECOND * np.sin(self.frequency * math.pi * x)

    def force(self, x: np.ndarray) -> np.ndarray:
        """Return the right-hand side f = −u″ at points x, (N,)."""
        import numpy as np

        k = self.frequency
        return math.pi**2 * (np.sin(math.pi * x) + _SECOND * k**2 * np.sin(k * math.pi * x))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._loss_and_metric(model, batch)[0]

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._loss_and_metric(model, batch)[1]

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._loss_and_metric(model, batch)

    def _loss_and_metric(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss and metric, from one evaluation of the network at the points and at both ends of the interval."""
        import torch

        x, force, solution = batch
        values, _, curvatures = model.derivatives(torch.cat([x, torch.zeros_like(x[:1]), torch.ones_like(x[:1])]))
        # ∫ u² and ∫ f² over [0, 1]: the two sines are orthogonal.
        mean_solution = (1 + _SECOND**2) / 2
        mean_force = math.pi**4 * (1 + (_SECOND * self.frequency**2) ** 2) / 2
        residual = (curvatures[:-2] + force).square().mean() / mean_force
        error = (values[:-2] - solution).square().mean() / mean_solution
        return residual + self.boundary * values[-2:].square().sum(), error

    @property
    def target(self) -> float | None:
        return 1e-3
