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

#: Up to so many weights, and weights times examples of a batch, replicas at once gain on a CPU: 1.0 to 1.6 times.
#: (With the weights of 28 × 28 pixels SGD loses, 0.6 to 0.8 times; docs/performance.md.)
_STACKED_WEIGHTS, _STACKED_PRODUCTS = 5_000, 100_000

_TARGETS = {"digits": 0.12, "mnist": 0.3}


@dataclass(frozen=True)
class LogisticRegression(SmallGreyImages, ImageClassification):
    """Convex: one linear layer with softmax and cross-entropy on grey images, from zero weights.

    Images are standardised. The loss is the cross-entropy plus ½ `l2` times the sum of the squared weights, biases
    left out, in training as in what is reported: strongly convex in the weights. (With `l2=0` there is no minimum where
    classes can be told apart without an error, as on digits.) The metric is the cross-entropy alone: in accuracy all
    methods are soon alike. Weights start at zero, where all classes are equally likely and the loss is the logarithm
    of their number, so seeds differ in the order of the data alone.

    `data`: `digits` (scikit-learn's images of 8 × 8 pixels as they are), `mnist`, `fashion_mnist` (28 × 28), or
    the path of a folder of images, which are turned grey and scaled to 28 × 28.

    Tells apart: how fast methods descend where there is nothing to get stuck in, along directions of very unlike
    curvature, as neighbouring pixels are alike; and how far their noise keeps them from the bottom.

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
        few = weights <= _STACKED_WEIGHTS and weights * batch_size <= _STACKED_PRODUCTS
        return device_type == "cuda" or few

    def model(self) -> nn.Module:
        from torch import nn

        layer = nn.Linear(self.image_size**2, self.classes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return nn.Sequential(nn.Flatten(), layer)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._penalised(super().loss(model, batch), model)

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().loss(model, batch)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        mean = super().loss(model, batch)
        return self._penalised(mean, model), mean

    def _penalised(self, mean: Tensor, model: Any) -> Tensor:
        return mean + 0.5 * self.l2 * model[1].weight.square().sum() if self.l2 else mean

    @property
    def target(self) -> float | None:
        return _TARGETS.get(str(self.data))
