"""A deep autoencoder on small images: a small version of a classical problem that is hard to optimize."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.errors import out_of_range, unknown
from optbench.problem.data import Batch, Data, DataSource
from optbench.problem.datasets.images import SmallGreyImages
from optbench.problems.initialisation import INITIALISATIONS

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Maximum number of weights, and of weights times batch size, at which stacked replicas are faster on a CPU (by a
#: factor of 1.2 to 2.4). At five million products the factor is 0.6 to 0.8, and at 280,000 weights 0.2 to 0.3
#: (docs/performance.md).
_STACKED_WEIGHTS, _STACKED_PRODUCTS = 60_000, 2_000_000

_ACTIVATIONS = ("sigmoid", "tanh", "relu")
_LOSSES = ("cross_entropy", "squared")
_TARGETS = {"digits": 2.5}


@dataclass(frozen=True)
class Autoencoder(SmallGreyImages):
    """Compresses grey images to a narrow code and back, with `layers` layers each; 64-32-16-8-16-32-64 on digits.

    Layer widths fall by equal factors from the number of pixels to `code`, and rise back by the same factors. All
    layers except the code and the output are followed by `activation` (`sigmoid`, `tanh` or `relu`). Pixels are between
    0 and 1. The loss depends on `error`: `cross_entropy` between the pixels and the sigmoid of the output, or their
    `squared` difference. Both are summed over the pixels of an image and averaged over images. The metric is the
    squared difference in either case. `init` is the initialisation of the weights (see `initialisation`).

    `data`: `digits` (scikit-learn's images of 8 × 8 pixels), `mnist`, `fashion_mnist` (28 × 28), or the path of a
    folder of images, which are converted to grey and scaled to 28 × 28.

    Tells apart: methods that cope with layers of small gradients and leave the plateau on which every image is
    reconstructed as the mean image, from those that stay there, such as plain gradient descent and mini-batch L-BFGS.

    Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural Networks; as a benchmark of
    optimizers Martens (2010), Deep Learning via Hessian-Free Optimization, and Sutskever et al. (2013), On the
    Importance of Initialization and Momentum in Deep Learning.
    """

    name: ClassVar[str] = "autoencoder"
    metric_name: ClassVar[str] = "reconstruction error"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (20, 100)
    run_budget: ClassVar[str] = "40epochs"

    data: str = "digits"
    code: int = 8
    layers: int = 3
    activation: str = "sigmoid"
    error: str = "cross_entropy"
    init: str = "glorot"

    def check(self) -> None:
        super().check()
        if not 1 <= self.code <= self.image_size**2:
            raise out_of_range("autoencoder[code]", self.code, f"1 to {self.image_size**2}, the number of pixels")
        if not 1 <= self.layers <= 50:
            raise out_of_range("autoencoder[layers]", self.layers, "1 to 50")
        for parameter, accepted in (("activation", _ACTIVATIONS), ("error", _LOSSES), ("init", INITIALISATIONS)):
            if getattr(self, parameter) not in accepted:
                raise unknown(f"autoencoder[{parameter}]", getattr(self, parameter), accepted)

    @property
    def microseconds_per_example(self) -> float:
        return 1.0 + 1.5e-4 * self._weights

    @property
    def microseconds_per_step(self) -> float:
        return 100.0 + 80.0 * self.layers

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of units of each layer, from the input pixels to the output pixels."""
        pixels = self.image_size**2
        down = [round(pixels * (self.code / pixels) ** (i / self.layers)) for i in range(self.layers + 1)]
        return (*down, *down[-2::-1])

    @property
    def _weights(self) -> int:
        return sum(before * after for before, after in itertools.pairwise(self.widths))

    def stacks(self, device_type: str, batch_size: int) -> bool:
        is_small = self._weights <= _STACKED_WEIGHTS and self._weights * batch_size <= _STACKED_PRODUCTS
        return device_type == "cuda" or is_small

    def model(self) -> nn.Module:
        from torch import nn

        from optbench.problems.initialisation import initialise

        activations = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
        parts: list[nn.Module] = []
        for number, (before, after) in enumerate(itertools.pairwise(self.widths), 1):
            parts.append(nn.Linear(before, after))
            if number not in (self.layers, 2 * self.layers):
                parts.append(activations[self.activation]())
        model = nn.Sequential(*parts)
        initialise(model, self.init)
        return model

    def load_data(self, source: DataSource) -> Data:
        """Load images as float32 between 0 and 1, (N, pixels)."""
        from optbench.problem.datasets.pixels import scale_brightness

        return scale_brightness(self._pixels(source), self._valid())

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._losses(model(batch[0]), batch[0])

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return _reconstruction_error(model(batch[0]), batch[0])

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        scores = model(batch[0])
        return self._losses(scores, batch[0]), _reconstruction_error(scores, batch[0])

    def _losses(self, scores: Tensor, images: Tensor) -> Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        if self.error == "squared":
            return _reconstruction_error(scores, images)
        return binary_cross_entropy_with_logits(scores, images) * images.shape[-1]

    @property
    def target(self) -> float | None:
        return _TARGETS.get(str(self.data))


def _reconstruction_error(scores: Tensor, images: Tensor) -> Tensor:
    """The squared error between sigmoid(scores) and images, (N, pixels): summed over pixels, averaged over images."""
    return (scores.sigmoid() - images).square().mean() * images.shape[-1]
