"""The small convolutional network of an introductory lecture, on handwritten digits or the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.datasets.classification import ImageClassification
from optbench.errors import out_of_range

if TYPE_CHECKING:
    from torch import nn

_TARGETS = {"mnist": 0.98, "fashion_mnist": 0.88, "digits": 0.95}


@dataclass(frozen=True)
class MnistCnn(ImageClassification):
    """Two convolutions and two linear layers on grey images of 28 × 28 pixels, standardised.

    Convolution 1→32 5×5, max-pool 3, ReLU, convolution 32→64 5×5, max-pool 2, ReLU, linear 256→200,
    ReLU, dropout where asked for, linear 200→classes. Weights start as torch's layers draw them.

    `data`: `mnist`, `fashion_mnist`, `digits` (scikit-learn's 8 × 8 images, enlarged), or the path of a
    folder of images, which are turned grey and scaled.
    """

    name: ClassVar[str] = "mnist_cnn"
    version: ClassVar[int] = 2
    chunk: ClassVar[int | None] = 100
    named: ClassVar[tuple[str, ...]] = ("mnist", "fashion_mnist", "digits")
    batch_sizes: ClassVar[tuple[int, ...]] = (32, 100, 500)
    run_budget: ClassVar[str] = "2epochs"

    data: str = "mnist"
    dropout: float = 0.0

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

    @property
    def microseconds_per_example(self) -> float:
        return 130.0

    @property
    def microseconds_per_step(self) -> float:
        return 400.0

    def model(self) -> nn.Module:
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(1, 32, 5),
            nn.MaxPool2d(3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 200),
            nn.ReLU(),
            *([nn.Dropout(self.dropout)] if self.dropout else []),
            nn.Linear(200, self.classes),
        )

    @property
    def target(self) -> float | None:
        return _TARGETS.get(str(self.data))
