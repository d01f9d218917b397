"""Turns images from bytes into the tensors on which networks are trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optbench.problem.data import Data

#: Seed of numpy's RandomState, whose numbers are the same in every version of numpy (NEP 19).
SPLIT_SEED = 20_151_210


@dataclass(frozen=True)
class Pixels:
    """Training and test images as bytes, (N, H, W, C), with their class indices, (N,)."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def draw_split(total: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the indices 0 … total − 1 at random, with a fixed seed.

    Returns:
        `count` random indices and the remaining ones, each sorted.
    """
    order = np.random.RandomState(SPLIT_SEED).permutation(total)
    return np.sort(order[:count]), np.sort(order[count:])


def standardise(pixels: Pixels, valid: int) -> Data:
    """Split off a validation split and standardise all splits.

    The mean and the standard deviation of each channel are those of the remaining training images, over all positions.

    Args:
        pixels: The images.
        valid: Number of training images in the validation split.

    Returns:
        Images as float32, (N, C, H, W), stored channels-last, and classes as int64, (N,).
    """
    valid_index, train_index = draw_split(len(pixels.train), valid)
    train = pixels.train[train_index]
    mean, deviation = _moments(train)
    # A constant channel has nothing to scale.
    deviation[deviation == 0] = 1.0

    # Arrays mapped from a file are read-only, but torch requires writable arrays even if it only reads them.
    def split(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        values = torch.from_numpy(np.require(images, np.uint8, "W")).to(torch.float32)
        values.sub_(torch.from_numpy(mean).float()).div_(torch.from_numpy(deviation).float())
        return values.permute(0, 3, 1, 2), torch.from_numpy(np.require(labels, np.int64, "W"))

    return Data(
        train=split(train, pixels.train_labels[train_index]),
        valid=split(pixels.train[valid_index], pixels.train_labels[valid_index]),
        test=split(pixels.test, pixels.test_labels),
    )


def scale_brightness(pixels: Pixels, valid: int) -> Data:
    """Split off the same validation split as `standardise`, and scale the pixels to 0 to 1.

    Args:
        pixels: The images.
        valid: Number of training images in the validation split.

    Returns:
        Flattened images as float32, (N, H · W · C), without classes.
    """
    valid_index, train_index = draw_split(len(pixels.train), valid)

    def split(images: np.ndarray) -> tuple[Tensor]:
        values = torch.from_numpy(np.require(images, np.uint8, "W")).to(torch.float32)
        return (values.div_(255).flatten(1),)

    return Data(train=split(pixels.train[train_index]), valid=split(pixels.train[valid_index]), test=split(pixels.test))


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel. The sums are exact in float64, because they are of whole numbers."""
    values = images.reshape(-1, images.shape[-1])
    total = np.zeros(values.shape[1])
    squares = np.zeros(values.shape[1])
    for start in range(0, len(values), 1 << 20):
        chunk = values[start : start + (1 << 20)].astype(np.float64)
        total += chunk.sum(axis=0)
        squares += np.square(chunk).sum(axis=0)
    mean = total / len(values)
    return mean, np.sqrt(np.maximum(squares / len(values) - mean**2, 0.0))
