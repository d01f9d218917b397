"""Fully connected networks on small images: trainings of about a second, dominated by overhead."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.errors import out_of_range
from optbench.problem.datasets.classification import ImageClassification
from optbench.problem.datasets.images import SmallGreyImages

if TYPE_CHECKING:
    from torch import nn

#: Maximum number of weights, and of weights times batch size, at which stacked replicas are faster on a CPU (by a
#: factor of 5 to 1.3). At three times either number the factor is 0.8 to 0.9 (docs/performance.md).
_STACKED_WEIGHTS, _STACKED_PRODUCTS = 60_000, 10_000_000

_TARGETS = {"digits": 0.95, "mnist": 0.96, "fashion_mnist": 0.85}


@dataclass(frozen=True)
class Mlp(SmallGreyImages, ImageClassification):
    """`layers` hidden layers of `hidden` rectified linear units on standardised grey images.

    Weights have torch's default initialisation. `data`: `digits` (scikit-learn's images of 8 × 8 pixels), `mnist`,
    `fashion_mnist` (28 × 28), or the path of a folder of images, which are converted to grey and scaled to 28 × 28.

    Tells apart: methods by how fast they learn in the first epochs on easy data, with small and large batches; in the
    end all well-tuned methods perform alike.
    """

    name: ClassVar[str] = "mlp"
    batch_sizes: ClassVar[tuple[int, ...]] = (10, 100)
    run_budget: ClassVar[str] = "10epochs"

    data: str = "digits"
    hidden: int = 32
    layers: int = 2

    def check(self) -> None:
        super().check()
        if self.hidden < 1:
            raise out_of_range("mlp[hidden]", self.hidden, "at least 1")
        if not 0 <= self.layers <= 100:
            raise out_of_range("mlp[layers]", self.layers, "0 to 100")

    def stacks(self, device_type: str, batch_size: int) -> bool:
        # On a CPU the gain shrinks with growing matrix products, and stacking is slower once the stacked weights do not
        # fit into the cache.
        is_small = self._weights <= _STACKED_WEIGHTS and self._weights * batch_size <= _STACKED_PRODUCTS
        return device_type == "cuda" or is_small

    @property
    def microseconds_per_example(self) -> float:
        return 1.0 + 1.5e-4 * self._weights

    @property
    def _weights(self) -> int:
        """Number of weights of all layers except the last."""
        return self.image_size**2 * self.hidden + max(self.layers - 1, 0) * self.hidden**2

    @property
    def microseconds_per_step(self) -> float:
        return 150.0 + 60.0 * self.layers

    def model(self) -> nn.Module:
        from torch import nn

        widths = [self.image_size**2, *[self.hidden] * self.layers]
        hidden: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            hidden += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(widths[-1], self.classes))

    @property
    def target(self) -> float | None:
        return _TARGETS.get(str(self.data))
