"""A small convolutional network, as in introductory lectures, on images like handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.errors import out_of_range, unknown
from optbench.problem.data import Batch
from optbench.problem.datasets.classification import ImageClassification
from optbench.problems.initialisation import INITIALISATIONS

if TYPE_CHECKING:
    from torch import Tensor, nn

_TARGETS = {"mnist": 0.98, "fashion_mnist": 0.88, "digits": 0.95}
_NORMS = ("none", "batch")
_REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class MnistCnn(ImageClassification):
    """Two convolutions and two linear layers on standardised grey images of 28 × 28 pixels.

    The layers are: convolution 1→32 5×5, max-pool 3, ReLU, convolution 32→64 5×5, max-pool 2, ReLU, linear 256→200,
    ReLU, dropout (if above 0), linear 200→classes. `width` is the number of channels of the first convolution (32); the
    other layers are in proportion to it.

    `norm=batch` adds batch normalisation (Ioffe and Szegedy 2015) before each ReLU; the layers before it have no
    biases. `init` is the initialisation of the weights: `default` (torch's), `normal`, `glorot` or `he` (see
    `initialisation`). With `reduction=sum`, the training loss is the sum over a batch instead of the mean; reported
    losses are means in either case.

    `data`: `mnist`, `fashion_mnist`, `digits` (scikit-learn's 8 × 8 images, enlarged), or the path of a folder of
    images, which are converted to grey and scaled.

    Tells apart: methods by their progress within few steps on a network without normalisation; gradient descent without
    momentum falls behind with larger batches and fewer steps.
    """

    name: ClassVar[str] = "mnist_cnn"
    version: ClassVar[int] = 2
    later: ClassVar[tuple[str, ...]] = ("norm", "init", "reduction", "width")
    chunk: ClassVar[int | None] = 100
    named: ClassVar[tuple[str, ...]] = ("mnist", "fashion_mnist", "digits")
    batch_sizes: ClassVar[tuple[int, ...]] = (32, 100, 500)
    run_budget: ClassVar[str] = "2epochs"

    data: str = "mnist"
    dropout: float = 0.0
    norm: str = "none"
    init: str = "default"
    reduction: str = "mean"
    width: int = 32

    @property
    def image_size(self) -> int:
        return 28

    @property
    def channels(self) -> int:
        return 1

    def check(self) -> None:
        super().check()
        if not 0 <= self.dropout < 1:
            raise out_of_range("mnist_cnn[dropout]", self.dropout, "at least 0 and less than 1")
        for parameter, accepted in (("norm", _NORMS), ("init", INITIALISATIONS), ("reduction", _REDUCTIONS)):
            if getattr(self, parameter) not in accepted:
                raise unknown(f"mnist_cnn[{parameter}]", getattr(self, parameter), accepted)
        if self.width < 1:
            raise out_of_range("mnist_cnn[width]", self.width, "at least 1")

    @property
    def couples_examples(self) -> bool:
        return self.norm == "batch"

    def chunk_weight(self, examples: int, batch_size: int) -> float:
        return 1.0 if self.reduction == "sum" else super().chunk_weight(examples, batch_size)

    @property
    def microseconds_per_example(self) -> float:
        return 130.0 * self.width / 32

    @property
    def microseconds_per_step(self) -> float:
        return 400.0

    def model(self) -> nn.Module:
        from torch import nn

        from optbench.problems.initialisation import initialise

        normalised, first, second = self.norm == "batch", self.width, 2 * self.width
        hidden = max(1, self.width * 200 // 32)
        model = nn.Sequential(
            nn.Conv2d(1, first, 5, bias=not normalised),
            nn.MaxPool2d(3),
            *([nn.BatchNorm2d(first)] if normalised else []),
            nn.ReLU(),
            nn.Conv2d(first, second, 5, bias=not normalised),
            nn.MaxPool2d(2),
            *([nn.BatchNorm2d(second)] if normalised else []),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * second, hidden, bias=not normalised),
            *([nn.BatchNorm1d(hidden)] if normalised else []),
            nn.ReLU(),
            *([nn.Dropout(self.dropout)] if self.dropout else []),
            nn.Linear(hidden, self.classes),
        )
        initialise(model, self.init)
        return model

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the cross-entropy over the batch: its mean, or its sum with `reduction=sum`."""
        mean = super().loss(model, batch)
        return mean * len(batch[0]) if self.reduction == "sum" else mean

    @property
    def target(self) -> float | None:
        return _TARGETS.get(str(self.data))
