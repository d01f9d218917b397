"""The base class of image classification problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.problem.data import Batch, Data, DataSource
from optbench.problem.datasets.images import Images
from optbench.problem.datasets.known import DATASETS

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ImageClassification(Images):
    """Image classification with the cross-entropy as the loss and the accuracy as the metric."""

    channels_last: ClassVar[bool] = True

    @property
    def classes(self) -> int:
        """The number of classes."""
        folder = self._folder()
        return len(folder.classes) if folder else DATASETS[self.data].classes

    def load_data(self, source: DataSource) -> Data:
        """Load standardised images as float32, (N, C, H, W), and classes as int64, (N,)."""
        from optbench.problem.datasets.pixels import standardise

        return standardise(self._pixels(source), self._valid())

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        from torch.nn.functional import cross_entropy

        images, classes = batch
        return cross_entropy(model(images), classes)

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        images, classes = batch
        return _accuracy(model(images), classes)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        from torch.nn.functional import cross_entropy

        images, classes = batch
        scores = model(images)
        return cross_entropy(scores, classes), _accuracy(scores, classes)


def _accuracy(scores: Tensor, classes: Tensor) -> Tensor:
    import torch

    return (scores.argmax(dim=1) == classes).to(torch.float32).mean()
