"""A quadratic valley with mini-batches: the smallest problem on which optimizers differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optbench.errors import out_of_range, unknown
from optbench.problem import Batch, Data, DataSource, Plane, Problem

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

#: Seeds of numpy's RandomState, whose numbers are the same in every version of numpy (NEP 19).
_POINTS_SEED = 1
_ROTATION_SEED = 2
#: Where the way down starts, in the directions of the smallest and the largest eigenvalue: far out
#: along the valley and up on its steep side, so that plain gradient descent zigzags.
_START_ALONG, _START_ACROSS = 4.0, 1.0
#: Coordinates of a batch up to which replicas at once gain on a CPU.
_STACKED_AT_MOST = 500_000
#: The part of the initial excess over the minimum at which the problem counts as solved.
_SOLVED = 1e-3


@dataclass(frozen=True)
class QuadraticValley(Problem):
    """The mean over `examples` points ξ of ½ (w − ξ)ᵀ A (w − ξ), in float64.

    The eigenvalues of A are spaced evenly in the logarithm from 1 to `condition`. The points are drawn
    once, normally distributed with standard deviation `noise` in every direction, and centred, so the
    minimum is at w = 0. A mini-batch is a valley of the same shape around the mean of its points: its
    gradient is the true one plus noise, and the full batch gives gradient descent.

    With `rotated`, the eigenvectors of A are a fixed random rotation of the axes, else the axes.

    Tells apart: methods whose steps suit flat and steep directions at once from plain gradient descent, which crawls
    along the valley; with `rotated`, whether that hangs on the directions being the axes.

    With `reduction="sum"` a batch's loss, and so its gradient, is the sum over its points instead of the mean;
    reported losses stay means. Each point is there `copies` times.

    It is a problem of optimisation without generalisation: validation and test splits are the whole
    training set. The metric is f(w) − f(0), which depends on w alone; it is computed as ½ wᵀ A w,
    so rounding can't make it negative.
    """

    name: ClassVar[str] = "quadratic_valley"
    version: ClassVar[int] = 2
    evaluation_batch: ClassVar[int] = 10_000
    later: ClassVar[tuple[str, ...]] = ("reduction", "copies")
    kind: ClassVar[Literal["network", "quadratic", "function"]] = "quadratic"
    metric_name: ClassVar[str] = "suboptimality"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (10, 100, 1000)
    run_budget: ClassVar[str] = "20epochs"

    dim: int = 2
    condition: float = 100.0
    examples: int = 1000
    noise: float = 0.1
    rotated: bool = False
    reduction: str = "mean"
    copies: int = 1

    def check(self) -> None:
        if not 2 <= self.dim <= 4096:
            raise out_of_range("quadratic_valley[dim]", self.dim, "2 to 4096")
        if not (1 <= self.condition < math.inf):
            raise out_of_range("quadratic_valley[condition]", self.condition, "a finite number of at least 1")
        if self.examples < 1:
            raise out_of_range("quadratic_valley[examples]", self.examples, "at least 1")
        if not (0 <= self.noise < math.inf):
            raise out_of_range("quadratic_valley[noise]", self.noise, "a finite number of at least 0")
        if self.reduction not in ("mean", "sum"):
            raise unknown("reduction of quadratic_valley", self.reduction, ("mean", "sum"))
        if self.copies < 1:
            raise out_of_range("quadratic_valley[copies]", self.copies, "at least 1")

    @property
    def microseconds_per_example(self) -> float:
        return 0.05

    @property
    def microseconds_per_step(self) -> float:
        return 150.0

    def training_examples(self) -> int:
        return self.examples * self.copies

    def model(self) -> nn.Module:
        """The position w, the same start whatever the seed."""
        import torch

        model = torch.nn.Module()
        model.register_parameter("position", torch.nn.Parameter(torch.from_numpy(self._start())))
        model.register_buffer("hessian", torch.from_numpy(self._hessian()), persistent=False)
        return model

    def load_data(self, source: DataSource) -> Data:
        """The points ξ, (examples · copies, dim), and their energies ½ ξᵀAξ, as all three splits. Reads nothing."""
        import numpy as np

        # The deviations from the mean are taken twice: the first leaves a rounding error of its own.
        points = self.noise * np.random.RandomState(_POINTS_SEED).standard_normal((self.examples, self.dim))
        points -= points.mean(axis=0)
        points = np.tile(points - points.mean(axis=0), (self.copies, 1))
        split = self.batch(points)
        return Data(split, split, split)

    def batch(self, points: np.ndarray) -> Batch:
        """Points ξ, (N, dim), as `loss` takes them: with their energies ½ ξᵀAξ, (N,)."""
        import torch

        energies = 0.5 * ((points @ self._hessian()) * points).sum(axis=1)
        return torch.from_numpy(points), torch.from_numpy(energies)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._reduced(self._losses(model.position, model.hessian, batch), batch)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._losses(model.position, model.hessian, batch), self.metric(model, batch)

    def stacked_loss(self, model: nn.Module, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        return self._reduced(self._losses(parameters["position"], model.hessian, batch), batch)

    def _reduced(self, means: Tensor, batch: Batch) -> Tensor:
        return means * batch[0].shape[-2] if self.reduction == "sum" else means

    @staticmethod
    def _losses(position: Any, hessian: Any, batch: Batch) -> Tensor:
        """½ (w − c)ᵀ A (w − c) + mean ½ ξᵀAξ − ½ cᵀAc, with c the mean of the points: a matrix product
        for each batch instead of one for each point. Of (…, dim) positions and (…, N, dim) points.
        """
        points, energies = batch
        centre = points.mean(-2)
        away = position - centre
        spread = energies.mean(-1) - 0.5 * ((centre @ hessian) * centre).sum(-1)
        return 0.5 * ((away @ hessian) * away).sum(-1) + spread

    def stacks(self, device_type: str, batch_size: int) -> bool:
        # On a CPU until the batches of eight replicas take more than 32 MiB: the C library then maps their memory
        # anew in each step, and 2.1 times as fast becomes 0.6 times (docs/performance.md).
        return device_type != "cpu" or batch_size * self.dim <= _STACKED_AT_MOST

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        position: Any = model.position
        return 0.5 * position.dot(model.hessian @ position)

    @property
    def target(self) -> float | None:
        start = self._start()
        return _SOLVED * float(0.5 * start @ self._hessian() @ start)

    @property
    def curvature(self) -> float | None:
        return self.condition

    @property
    def plane(self) -> Plane | None:
        if self.dim != 2:
            return None
        x, y = (float(value) for value in self._start())
        # Room for an overshoot to the far side of the minimum in every direction.
        reach_x, reach_y = 1.25 * max(abs(x), 2.0), 1.25 * max(abs(y), 2.0)
        return Plane(start=(x, y), minimum=(0.0, 0.0), domain=((-reach_x, reach_x), (-reach_y, reach_y)))

    def _eigenvectors(self) -> np.ndarray:
        """As columns, in the order of the eigenvalues."""
        import numpy as np

        if not self.rotated:
            return np.eye(self.dim)
        normal = np.random.RandomState(_ROTATION_SEED).standard_normal((self.dim, self.dim))
        q, r = np.linalg.qr(normal)
        # The factorisation is unique, and uniformly distributed, only up to these signs.
        return q * np.sign(np.diag(r))

    def _hessian(self) -> np.ndarray:
        import numpy as np

        directions = self._eigenvectors()
        return (directions * np.geomspace(1.0, self.condition, self.dim)) @ directions.T

    def _start(self) -> np.ndarray:
        import numpy as np

        return self._eigenvectors() @ np.geomspace(_START_ALONG, _START_ACROSS, self.dim)
