"""A quadratic valley with mini-batches: the smallest problem on which optimizers differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.errors import out_of_range, unknown
from optbench.problem.data import Batch, Plane
from optbench.problems.quadratic import Quadratic

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

#: Coordinates of the starting point along the eigenvectors of the smallest and the largest eigenvalue: far from the
#: minimum along the valley and up on its steep side, so that plain gradient descent zigzags.
_START_ALONG, _START_ACROSS = 4.0, 1.0


@dataclass(frozen=True)
class QuadraticValley(Quadratic):
    """The mean over `examples` points ξ of ½ (w − ξ)ᵀ A (w − ξ), in float64.

    The eigenvalues of A are spaced evenly on a logarithmic scale from 1 to `condition`. The points are drawn once from
    a normal distribution with standard deviation `noise` in every direction, and centred, so that the minimum is at
    w = 0. The loss of a mini-batch is a valley of the same shape around the mean of its points. Its gradient is the
    true gradient plus noise, and the full batch gives gradient descent.

    The eigenvectors of A are the axes or, with `rotated`, a fixed random rotation of the axes.

    Tells apart: methods whose steps suit flat and steep directions at once from plain gradient descent, which crawls
    along the valley; with `rotated`, methods that need steep and flat directions to be axes from those that do not.

    With `reduction="sum"`, the loss of a batch, and thus its gradient, is the sum over its points instead of the mean;
    reported losses remain means. Each point occurs `copies` times.

    Splits and metric are those of `Quadratic`.
    """

    name: ClassVar[str] = "quadratic_valley"
    version: ClassVar[int] = 2
    later: ClassVar[tuple[str, ...]] = ("reduction", "copies")
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
        super().check()
        if not (1 <= self.condition < math.inf):
            raise out_of_range("quadratic_valley[condition]", self.condition, "a finite number of at least 1")
        if self.reduction not in ("mean", "sum"):
            raise unknown("reduction of quadratic_valley", self.reduction, ("mean", "sum"))
        if self.copies < 1:
            raise out_of_range("quadratic_valley[copies]", self.copies, "at least 1")

    def training_examples(self) -> int:
        return self.examples * self.copies

    def _points(self) -> np.ndarray:
        import numpy as np

        return np.tile(super()._points(), (self.copies, 1))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._reduce(super().loss(model, batch), batch)

    def stacked_loss(self, model: nn.Module, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        return self._reduce(super().stacked_loss(model, parameters, batch), batch)

    def _reduce(self, means: Tensor, batch: Batch) -> Tensor:
        return means * batch[0].shape[-2] if self.reduction == "sum" else means

    @property
    def curvature(self) -> float | None:
        return self.condition

    @property
    def plane(self) -> Plane | None:
        if self.dim != 2:
            return None
        x, y = (float(value) for value in self._start())
        # This leaves room for an overshoot to the far side of the minimum in every direction.
        reach_x, reach_y = 1.25 * max(abs(x), 2.0), 1.25 * max(abs(y), 2.0)
        return Plane(start=(x, y), minimum=(0.0, 0.0), domain=((-reach_x, reach_x), (-reach_y, reach_y)))

    def _eigenvectors(self) -> np.ndarray:
        """The eigenvectors as columns, in the order of the eigenvalues: (dim, dim)."""
        import numpy as np

        return self._rotation() if self.rotated else np.eye(self.dim)

    def _hessian(self) -> np.ndarray:
        import numpy as np

        directions = self._eigenvectors()
        return (directions * np.geomspace(1.0, self.condition, self.dim)) @ directions.T

    def _start(self) -> np.ndarray:
        import numpy as np

        return self._eigenvectors() @ np.geomspace(_START_ALONG, _START_ACROSS, self.dim)
