"""A network on top of another network's pretrained first layer, which is frozen for a part of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.errors import out_of_range
from optbench.problem.data import Data, DataSource
from optbench.problem.datasets.classification import ImageClassification
from optbench.problem.datasets.known import DATASETS
from optbench.problems.alexnet import check_weights, first_layer, weights_identity

if TYPE_CHECKING:
    from torch import nn

_TARGETS = {"cifar10": 0.7, "digits": 0.9}


@dataclass(frozen=True)
class FrozenFeatures(ImageClassification):
    """AlexNet's first layer, a converter, residual blocks, average pooling, a linear layer; 32 × 32 pixels.

    The first layer (convolution 3→64, 11 × 11, stride 4, and ReLU) is frozen for the share `frozen` of the run budget
    and then trained like the rest: 0 trains it from the start, 1 never. Its `weights` are `imagenet` (torchvision's,
    downloaded if missing), the path of a state dict of torchvision's AlexNet, or `none` (random weights). The converter
    (1 × 1 convolution, batch normalisation, ReLU) maps 64 to `width` channels, and `blocks` residual blocks with
    `width` channels follow.

    `data`: `cifar10`, `digits` (scikit-learn's grey images, enlarged), or the path of a folder of images. Inputs are
    standardised per channel. A grey image is used for all three channels.

    Tells apart: methods by how well they handle parameters whose training starts in the middle of the run, when the
    methods have no state for them.
    """

    name: ClassVar[str] = "frozen_features"
    named: ClassVar[tuple[str, ...]] = ("cifar10", "digits")
    batch_sizes: ClassVar[tuple[int, ...]] = (32, 128)
    run_budget: ClassVar[str] = "10epochs"

    data: str = "cifar10"
    weights: str = "imagenet"
    frozen: float = 0.5
    blocks: int = 3
    width: int = 64

    @property
    def image_size(self) -> int:
        return 32

    @property
    def channels(self) -> int:
        return DATASETS[self.data].channels if self.data in self.named else 3

    def check(self) -> None:
        super().check()
        check_weights("frozen_features[weights]", self.weights)
        if not 0 <= self.frozen <= 1:
            raise out_of_range("frozen_features[frozen]", self.frozen, "a share of the run budget, 0 to 1")
        if not 0 <= self.blocks <= 100:
            raise out_of_range("frozen_features[blocks]", self.blocks, "0 to 100")
        if self.width < 1:
            raise out_of_range("frozen_features[width]", self.width, "at least 1")

    @property
    def couples_examples(self) -> bool:
        return True

    @property
    def freezing(self) -> Mapping[str, float]:
        return {"features.": self.frozen} if self.frozen else {}

    @property
    def microseconds_per_example(self) -> float:
        # Measured on one thread of a server CPU, channels-last, batch size 100, forward and backward, 64 channels.
        return 90.0 + 165.0 * self.blocks * (self.width / 64) ** 1.5

    @property
    def microseconds_per_step(self) -> float:
        return 800.0 + 300.0 * self.blocks

    def load_data(self, source: DataSource) -> Data:
        """Load the images, and the weights too, so that missing weights are reported before the first training."""
        first_layer(self.weights, source.download)
        return super().load_data(source)

    def model(self) -> nn.Module:
        from optbench.problems.transfer import TransferNet

        return TransferNet(first_layer(self.weights), self.classes, self.blocks, self.width)

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "weights": weights_identity(self.weights)}

    def display(self) -> dict[str, Any]:
        shown = super().display()
        return {**shown, "weights": PurePath(self.weights).name} if shown.get("weights") else shown

    @property
    def target(self) -> float | None:
        return _TARGETS.get(str(self.data))
