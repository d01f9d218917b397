"""Multinomial logistic regression on small images: a convex problem on real data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.errors import out_of_range
from optbench.problem.data import Batch
from optbench.problem.datasets.classification import ImageClassification
from optbench.problem.datasets.images import SmallGreyImages

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Maximum number of weights, and of weights times batch size, at which stacked replicas are faster on a CPU (by a
#: factor of 1.0 to 1.6). With 28 × 28 pixels, SGD has a factor of 0.6 to 0.8 (docs/performance.md).
_STACKED_WEIGHTS, _STACKED_PRODUCTS = 5_000, 100_000

_TARGETS = {"digits": 0.12, "mnist": 0.3}


@dataclass(frozen=True)
class LogisticRegression(SmallGreyImages, ImageClassification):
    """A convex problem: one linear layer with softmax and cross-entropy on grey images, from zero weights.

    Images are standardised. The loss is the cross-entropy plus ½ `l2` times the sum of the squared weights, without
    biases; the reported loss includes this penalty. The loss is strongly convex in the weights. With `l2=0`, no minimum
    exists if the classes are linearly separable, as for digits. The metric is the cross-entropy without the penalty,
    because all methods soon have a similar accuracy. Weights start at zero, where all classes are equally likely and
    the cross-entropy is the logarithm of their number. Seeds therefore differ only in the order of the data.

    `data`: `digits` (scikit-learn's images of 8 × 8 pixels), `mnist`, `fashion_mnist` (28 × 28), or the path of a
    folder of images, which are converted to grey and scaled to 28 × 28.

    Tells apart: methods by how fast they descend without local minima, along directions of very different curvature
    (neighbouring pixels are similar), and by how close to the minimum their gradient noise lets them get.

    DeepOBS's `mnist_logreg` (Schneider, Balles and Hennig 2019); Kingma and Ba (2015), Adam, section 6.1.
    """

    name: ClassVar[str] = "logistic_regression"
    metric_name: ClassVar[str] = "cross-entropy"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (20, 100)
    run_budget: ClassVar[str] = "10epochs"

    data: str = "digits"
    l2: float = 1e-3

    def check(self) -> None:
        super().check()
        if not 0 <= self.l2 <= 1e6:
            raise out_of_range("logistic_regression[l2]", self.l2, "0 to 1e6")

    @property
    def microseconds_per_example(self) -> float:
        return 0.5 + 1e-3 * self.image_size**2

    @property
    def microseconds_per_step(self) -> float:
        return 150.0

    def stacks(self, device_type: str, batch_size: int) -> bool:
        weights = self.image_size**2 * self.classes
        is_small = weights <= _STACKED_WEIGHTS and weights * batch_size <= _STACKED_PRODUCTS
        return device_type == "cuda" or is_small

    def model(self) -> nn.Module:
        from torch import nn

        layer = nn.Linear(self.image_size**2, self.classes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return nn.Sequential(nn.Flatten(), layer)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._add_penalty(super().loss(model, batch), model)

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().loss(model, batch)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        mean = super().loss(model, batch)
        return self._add_penalty(mean, model), mean

    def _add_penalty(self, mean: Tensor, model: Any) -> Tensor:
        return mean + 0.5 * self.l2 * model[1].weight.square().sum() if self.l2 else mean

    @property
    def target(self) -> float | None:
        return _TARGETS.get(str(self.data))
