"""Residual networks for small colour images, with the augmentation of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.errors import out_of_range, unknown
from optbench.problem.data import Batch
from optbench.problem.datasets.classification import ImageClassification
from optbench.problem.datasets.known import DATASETS

if TYPE_CHECKING:
    import torch
    from torch import nn

_TARGETS = {"cifar10": 0.8, "cifar100": 0.45, "digits": 0.9}
_SHORTCUTS = ("pad", "conv", "none")
_NORMS = ("batch", "none")
_INITIALISATIONS = ("he", "identity")
#: The largest first activations per batch (images · pixels · channels) for which stacked replicas are faster on a CPU.
_STACKED_ACTIVATIONS = 100 * 8**2 * 8


@dataclass(frozen=True)
class CifarResnet(ImageClassification):
    """The residual networks of He et al., "Deep residual learning" (2015), section 4.2, at any width.

    `depth` is the number of layers, 6n + 2. The three stages have `width`, 2 `width` and 4 `width` channels. `shortcut`
    selects the shortcuts where the size changes: the paper's option A (`pad`: stride-2 grid, zero channels) or B
    (`conv`: 1 × 1 convolution). `none` removes all shortcuts, which gives the paper's plain network of the same depth.
    `norm` is `batch` or `none`. `dropout` is applied between the convolutions of a block (Zagoruyko and Komodakis,
    "Wide residual networks", 2016, section 2.4). With `init=identity`, every block starts as its shortcut alone,
    because the last scale of its branch is 0 (Goyal et al., "Accurate, large minibatch SGD", 2017, section 5.1). Inputs
    are standardised per channel.

    With `augment`, each training image is shifted by up to an eighth of its size in both directions (pad 4, crop 32;
    pixels from outside have the mean colour) and flipped left to right with probability ½. Digits are shifted but not
    flipped, because a mirrored digit is not a digit.

    `data`: `cifar10`, `cifar100`, `digits` (scikit-learn's grey images of 8 × 8 pixels), or the path of a folder of
    images, which are scaled to 32 × 32.

    Tells apart: methods by how well they handle large batches and long runs, because with batch normalisation
    well-tuned methods are close to each other; with `norm=none` or `shortcut=none`, methods by how well they handle
    that.
    """

    name: ClassVar[str] = "cifar_resnet"
    later: ClassVar[tuple[str, ...]] = ("dropout", "init")
    named: ClassVar[tuple[str, ...]] = ("cifar10", "cifar100", "digits")
    batch_sizes: ClassVar[tuple[int, ...]] = (32, 128, 512)
    run_budget: ClassVar[str] = "10epochs"

    data: str = "cifar10"
    depth: int = 20
    width: int = 16
    shortcut: str = "pad"
    norm: str = "batch"
    augment: bool = True
    dropout: float = 0.0
    init: str = "he"

    @property
    def image_size(self) -> int:
        return 8 if self.data == "digits" else 32

    @property
    def channels(self) -> int:
        return DATASETS[self.data].channels if self.data in self.named else 3

    def check(self) -> None:
        super().check()
        if self.depth < 8 or (self.depth - 2) % 6:
            raise out_of_range("cifar_resnet[depth]", self.depth, "6n + 2: 8, 14, 20, 26, 32, 44, 56, …")
        if self.width < 1:
            raise out_of_range("cifar_resnet[width]", self.width, "at least 1")
        if not 0 <= self.dropout < 1:
            raise out_of_range("cifar_resnet[dropout]", self.dropout, "at least 0 and less than 1")
        for parameter, accepted in (("shortcut", _SHORTCUTS), ("norm", _NORMS), ("init", _INITIALISATIONS)):
            if getattr(self, parameter) not in accepted:
                raise unknown(f"cifar_resnet[{parameter}]", getattr(self, parameter), accepted)
        if self.init == "identity" and self.shortcut == "none":
            raise out_of_range("cifar_resnet[init]", self.init, "he with shortcut=none, because no signal would pass")

    @property
    def couples_examples(self) -> bool:
        return self.norm == "batch"

    @property
    def microseconds_per_example(self) -> float:
        # Measured on one thread of a server CPU, channels-last, batch size 100, forward and backward; fitted to depths
        # 8 to 56, widths 8 to 32, and image sizes 8 and 32. The cost of convolutions grows with the square of the
        # width, all other costs with the width.
        layer = 0.44 * self.width**2 + 3.8 * self.width
        return self.depth * layer * (self.image_size / 32) ** 2

    @property
    def microseconds_per_step(self) -> float:
        return 300.0 * self.depth

    def stacks(self, device_type: str, batch_size: int) -> bool:
        # Measured with depth 8 on digits: at a width of 4 the time is 0.4 of eager training, at 8 it is 0.6 to 0.8.
        is_small = batch_size * self.image_size**2 * self.width <= _STACKED_ACTIVATIONS
        return device_type == "cpu" and is_small and self.shortcut != "conv" and not self.dropout

    def model(self) -> nn.Module:
        from optbench.problems.resnet import ResNet

        block = (self.shortcut, self.norm, self.dropout, self.init)
        return ResNet(self.channels, self.classes, self.depth, self.width, *block)

    def augment_batch(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch with its images shifted and flipped; without `augment`, the unchanged batch."""
        if not self.augment:
            return batch
        from optbench.problems.augmentation import shift_and_flip

        images, classes = batch
        return shift_and_flip(images, self.image_size // 8, self._mirrors, generator), classes

    @property
    def _mirrors(self) -> bool:
        return self.data != "digits"

    @property
    def target(self) -> float | None:
        return _TARGETS.get(str(self.data))
