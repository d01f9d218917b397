"""A network on the pretrained first layer of another, which is frozen for a part of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.errors import out_of_range
from optbench.problem.data import Data, DataSource
from optbench.problem.datasets.classification import ImageClassification
from optbench.problem.datasets.known import KNOWN
from optbench.problems.alexnet import check_weights, first_layer, weights_identity

if TYPE_CHECKING:
    from torch import nn

_TARGETS = {"cifar10": 0.7, "digits": 0.9}


@dataclass(frozen=True)
class FrozenFeatures(ImageClassification):
    """AlexNet's first layer, a converter, residual blocks, average pooling, a linear layer; 32 × 32 pixels.

    The first layer (convolution 3→64, 11 × 11, stride 4, and ReLU) keeps its weights for the share `frozen` of
    the run's budget and is trained like the rest from there on: 0 trains it from the start, 1 never. Its
    `weights` are `imagenet` (torchvision's, downloaded where they aren't yet), the path of a state dict of
    torchvision's AlexNet, or `none`: random ones. The converter (1 × 1 convolution, batch normalisation, ReLU)
    goes from 64 to `width` channels, and `blocks` residual blocks keep those.

    `data`: `cifar10`, `digits` (scikit-learn's grey images, enlarged), or the path of a folder of images. Inputs
    are standardised per channel; grey ones stand for all three.

    Tells apart: how methods take it when a part of the network starts to be trained in mid-run, for which they have no
    state yet.
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
        return KNOWN[self.data].channels if self.data in self.named else 3

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
        # One thread of a server CPU, channels-last, batch 100, forward and backward, at 64 channels.
        return 90.0 + 165.0 * self.blocks * (self.width / 64) ** 1.5

    @property
    def microseconds_per_step(self) -> float:
        return 800.0 + 300.0 * self.blocks

    def load_data(self, source: DataSource) -> Data:
        """The images; looks for the weights too, so that missing ones are known before anything is computed."""
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
