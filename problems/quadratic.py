"""The base class of quadratic problems with mini-batches: everything except the Hessian and the starting point."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optbench.errors import out_of_range
from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

#: Seeds of numpy's RandomState, whose numbers are the same in every version of numpy (NEP 19).
_POINTS_SEED = 1
_ROTATION_SEED = 2
#: Maximum batch size times dimensions at which stacked replicas are faster on a CPU.
_STACKED_AT_MOST = 500_000


@dataclass(frozen=True)
class Quadratic(Problem):
    """The mean over `examples` points ξ of ½ (w − ξ)ᵀ A (w − ξ), in float64.

    The points are drawn once from a normal distribution with standard deviation `noise` in every direction, and
    centred, so that the minimum is at w = 0. The loss of a mini-batch is a quadratic of the same shape around the mean
    of its points. Its gradient is the true gradient plus noise, and the full batch gives gradient descent.

    This is a problem of optimisation without generalisation: the validation and test splits are the whole training set.
    The metric is f(w) − f(0), which depends on w alone. It is computed as ½ wᵀ A w, so that rounding cannot make it
    negative.
    """

    evaluation_batch: ClassVar[int] = 10_000
    kind: ClassVar[Literal["network", "quadratic", "function"]] = "quadratic"
    metric_name: ClassVar[str] = "suboptimality"
    metric_higher_is_better: ClassVar[bool] = False
    #: Share of the initial suboptimality at which the problem counts as solved.
    solved: ClassVar[float] = 1e-3

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimensions of the space, at least 2."""

    @property
    @abstractmethod
    def examples(self) -> int:
        """Number of points."""

    @property
    @abstractmethod
    def noise(self) -> float:
        """Standard deviation of the points in every direction."""

    @abstractmethod
    def _hessian(self) -> np.ndarray:
        """A, symmetric and positive definite, (dim, dim)."""

    @abstractmethod
    def _start(self) -> np.ndarray:
        """The starting point, (dim,)."""

    def check(self) -> None:
        if not 2 <= self.dim <= 4096:
            raise out_of_range(f"{self.name}[dim]", self.dim, "2 to 4096")
        if self.examples < 1:
            raise out_of_range(f"{self.name}[examples]", self.examples, "at least 1")
        if not (0 <= self.noise < math.inf):
            raise out_of_range(f"{self.name}[noise]", self.noise, "a finite number of at least 0")

    @property
    def microseconds_per_example(self) -> float:
        return 0.05

    @property
    def microseconds_per_step(self) -> float:
        return 150.0

    def training_examples(self) -> int:
        return self.examples

    def model(self) -> nn.Module:
        """Return a model with the parameter `position`, w: (dim,), which has the same start for all seeds."""
        import torch

        model = torch.nn.Module()
        model.register_parameter("position", torch.nn.Parameter(torch.from_numpy(self._start())))
        model.register_buffer("hessian", torch.from_numpy(self._hessian()), persistent=False)
        return model

    def load_data(self, source: DataSource) -> Data:
        """Generate the points ξ, (examples, dim), and their energies ½ ξᵀAξ, (examples,), as all three splits."""
        split = self.batch(self._points())
        return Data(split, split, split)

    def _points(self) -> np.ndarray:
        import numpy as np

        # The mean is subtracted twice, because the first subtraction leaves a rounding error.
        points = self.noise * np.random.RandomState(_POINTS_SEED).standard_normal((self.examples, self.dim))
        points -= points.mean(axis=0)
        centred: np.ndarray = points - points.mean(axis=0)
        return centred

    def batch(self, points: np.ndarray) -> Batch:
        """Return points ξ, (N, dim), with their energies ½ ξᵀAξ, (N,), as `loss` expects them."""
        import torch

        energies = 0.5 * ((points @ self._hessian()) * points).sum(axis=1)
        return torch.from_numpy(points), torch.from_numpy(energies)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._losses(model.position, model.hessian, batch)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._losses(model.position, model.hessian, batch), self.metric(model, batch)

    def stacked_loss(self, model: nn.Module, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        return self._losses(parameters["position"], model.hessian, batch)

    @staticmethod
    def _losses(position: Any, hessian: Any, batch: Batch) -> Tensor:
        """The mean loss for positions w, (…, dim), and points ξ, (…, N, dim).

        It is ½ (w − c)ᵀ A (w − c) + mean ½ ξᵀAξ − ½ cᵀAc with the mean c of the points, which takes one matrix product
        per batch instead of one per point.
        """
        points, energies = batch
        centre = points.mean(-2)
        offset = position - centre
        spread = energies.mean(-1) - 0.5 * ((centre @ hessian) * centre).sum(-1)
        return 0.5 * ((offset @ hessian) * offset).sum(-1) + spread

    def stacks(self, device_type: str, batch_size: int) -> bool:
        # On a CPU, if the batches of eight replicas take more than 32 MiB, the C library maps new memory in every step,
        # and the speed-up falls from 2.1 to 0.6 (docs/performance.md).
        return device_type != "cpu" or batch_size * self.dim <= _STACKED_AT_MOST

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        position: Any = model.position
        return 0.5 * position.dot(model.hessian @ position)

    @property
    def target(self) -> float | None:
        start = self._start()
        return self.solved * float(0.5 * start @ self._hessian() @ start)

    def _rotation(self) -> np.ndarray:
        """A fixed random rotation, (dim, dim), whose columns are orthonormal, uniformly distributed directions."""
        import numpy as np

        normal = np.random.RandomState(_ROTATION_SEED).standard_normal((self.dim, self.dim))
        q, r = np.linalg.qr(normal)
        # These signs make the factorisation unique and the rotation uniformly distributed.
        rotation: np.ndarray = q * np.sign(np.diag(r))
        return rotation
