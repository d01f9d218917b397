"""What is known of the named data sets without reading them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """Numbers of images and classes; `valid` of the `train` images are set apart for validation."""

    train: int
    valid: int
    test: int
    classes: int
    channels: int


KNOWN = {
    "mnist": Known(60_000, 5_000, 10_000, 10, 1),
    "fashion_mnist": Known(60_000, 5_000, 10_000, 10, 1),
    "cifar10": Known(50_000, 5_000, 10_000, 10, 3),
    "cifar100": Known(50_000, 5_000, 10_000, 100, 3),
    # scikit-learn doesn't split its 1,797 digits: a fixed draw of 297 is the test set.
    "digits": Known(1_500, 300, 297, 10, 1),
}
