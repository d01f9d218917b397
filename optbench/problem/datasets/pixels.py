"""Images as they were read, and the way from there to what a network is trained on."""

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
    """Images as bytes, (N, H, W, C), with the numbers of their classes, (N,)."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def drawn(total: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices 0 … total − 1 in two parts, each in order: `count` drawn with a fixed seed, and the rest."""
    order = np.random.RandomState(SPLIT_SEED).permutation(total)
    return np.sort(order[:count]), np.sort(order[count:])


def standardised(pixels: Pixels, valid: int) -> Data:
    """Sets `valid` training images apart for validation, and standardises all splits alike.

    Mean and deviation are those of the images that are left to train on, one each per channel, over
    all positions. Images come as float32 (N, C, H, W), stored channels-last; targets as int64 (N,).
    """
    valid_index, train_index = drawn(len(pixels.train), valid)
    train = pixels.train[train_index]
    mean, deviation = _moments(train)
    # Images of one colour carry nothing to scale.
    deviation[deviation == 0] = 1.0

    # Arrays mapped from a file are read-only; torch wants others, also where it only reads.
    def split(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        values = torch.from_numpy(np.require(images, np.uint8, "W")).to(torch.float32)
        values.sub_(torch.from_numpy(mean).float()).div_(torch.from_numpy(deviation).float())
        return values.permute(0, 3, 1, 2), torch.from_numpy(np.require(labels, np.int64, "W"))

    return Data(
        train=split(train, pixels.train_labels[train_index]),
        valid=split(pixels.train[valid_index], pixels.train_labels[valid_index]),
        test=split(pixels.test, pixels.test_labels),
    )


def brightness(pixels: Pixels, valid: int) -> Data:
    """Sets `valid` training images apart as `standardised` does, and leaves out their classes.

    Images come as float32 between 0 and 1, flat: (N, H · W · C).
    """
    valid_index, train_index = drawn(len(pixels.train), valid)

    def split(images: np.ndarray) -> tuple[Tensor]:
        values = torch.from_numpy(np.require(images, np.uint8, "W")).to(torch.float32)
        return (values.div_(255).flatten(1),)

    return Data(train=split(pixels.train[train_index]), valid=split(pixels.train[valid_index]), test=split(pixels.test))


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel. Sums of whole numbers, so exact in float64 in any order."""
    values = images.reshape(-1, images.shape[-1])
    total = np.zeros(values.shape[1])
    squares = np.zeros(values.shape[1])
    for start in range(0, len(values), 1 << 20):
        chunk = values[start : start + (1 << 20)].astype(np.float64)
        total += chunk.sum(axis=0)
        squares += np.square(chunk).sum(axis=0)
    mean = total / len(values)
    return mean, np.sqrt(np.maximum(squares / len(values) - mean**2, 0.0))
