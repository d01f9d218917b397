"""The sizes of the named data sets, so that planning need not read them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetInfo:
    """The size of a data set: numbers of images, classes and channels.

    `valid` of the `train` images are used for validation.
    """

    train: int
    valid: int
    test: int
    classes: int
    channels: int


DATASETS = {
    "mnist": DatasetInfo(60_000, 5_000, 10_000, 10, 1),
    "fashion_mnist": DatasetInfo(60_000, 5_000, 10_000, 10, 1),
    "cifar10": DatasetInfo(50_000, 5_000, 10_000, 10, 3),
    "cifar100": DatasetInfo(50_000, 5_000, 10_000, 100, 3),
    # scikit-learn does not split its 1,797 digits: a fixed random sample of 297 is the test set.
    "digits": DatasetInfo(1_500, 300, 297, 10, 1),
}
