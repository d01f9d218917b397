"""A noisy quadratic in many dimensions with a spectrum like those of networks' Hessians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.problems.quadratic import Quadratic

if TYPE_CHECKING:
    import numpy as np

#: The seed of DeepOBS, so that the eigenvalues at 100 dimensions are the same as there.
_SPECTRUM_SEED = 42
#: Intervals of most eigenvalues and of the large ones; one eigenvalue in 10 is large.
_BULK, _LARGE, _ONE_LARGE_IN = (0.0, 1.0), (30.0, 60.0), 10


@dataclass(frozen=True)
class QuadraticDeep(Quadratic):
    """DeepOBS's noisy quadratic: nine eigenvalues in ten between 0 and 1, the others between 30 and 60; in float64.

    The loss is the mean over `examples` points ξ of ½ (w − ξ)ᵀ A (w − ξ), from w = (1, …, 1). The eigenvalues of A are
    drawn uniformly from the two intervals, at least one of them from the upper one. The eigenvectors are a fixed random
    rotation of the axes. The points have standard deviation `noise` in every direction. Minimum, splits and metric are
    those of `Quadratic`.

    Tells apart: momentum from plain gradient descent, whose learning rate is limited by a few steep directions although
    many flat directions need a large one; with small batches, methods whose steps shrink from those whose steps the
    noise in steep directions keeps large.

    Schneider, Balles and Hennig (2019), DeepOBS: A Deep Learning Optimizer Benchmark Suite, `quadratic_deep`;
    spectrum after Chaudhari et al. (2017), Entropy-SGD: Biasing Gradient Descent into Wide Valleys.
    """

    name: ClassVar[str] = "quadratic_deep"
    batch_sizes: ClassVar[tuple[int, ...]] = (20, 100)
    run_budget: ClassVar[str] = "50epochs"
    solved: ClassVar[float] = 1e-2

    dim: int = 100
    examples: int = 1000
    noise: float = 0.6

    @property
    def curvature(self) -> float | None:
        return float(self._eigenvalues().max())

    def _eigenvalues(self) -> np.ndarray:
        import numpy as np

        large, random = max(self.dim // _ONE_LARGE_IN, 1), np.random.RandomState(_SPECTRUM_SEED)
        return np.concatenate([random.uniform(*_BULK, self.dim - large), random.uniform(*_LARGE, large)])

    def _hessian(self) -> np.ndarray:
        directions = self._rotation()
        hessian: np.ndarray = (directions * self._eigenvalues()) @ directions.T
        return hessian

    def _start(self) -> np.ndarray:
        import numpy as np

        return np.ones(self.dim)
