"""Data on the device: each split is stored as whole tensors, from which batches are taken by index."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from optbench.planning.problem_choice import ProblemChoice
from optbench.problem.base import Problem, load_problem_data
from optbench.problem.data import Batch, Data, DataSource
from optbench.training import shared_data as shared

#: Number of training examples, spread evenly over the split, on which the training loss is reported.
TRAIN_SAMPLE = 512


class Split:
    """The examples of one split on a device.

    Args:
        tensors: Inputs, targets, …, each of shape (examples, …).
        device: The device.
        channels_last: Whether images are stored channels-last, so that a batch taken by index is channels-last
            without a copy.
    """

    def __init__(self, tensors: Batch, device: str, channels_last: bool) -> None:
        moved = [tensor.to(device) for tensor in tensors]
        self._images = [channels_last and tensor.dim() == 4 for tensor in moved]
        self._tensors = [
            tensor.permute(0, 2, 3, 1).contiguous() if images else tensor.contiguous()
            for tensor, images in zip(moved, self._images, strict=True)
        ]
        self.device = device

    def __len__(self) -> int:
        return len(self._tensors[0])

    def batch(self, index: Tensor) -> Batch:
        """Returns the examples at the given indices.

        Args:
            index: Indices of shape (N,) or (replicas, N).

        Returns:
            Tensors of shape (*index.shape, …); images have shape (*index.shape, C, H, W).
        """
        flat, shape = index.flatten(), index.shape
        chosen = (tensor.index_select(0, flat) for tensor in self._tensors)
        if index.dim() > 1:
            chosen = (tensor.view(*shape, *tensor.shape[1:]) for tensor in chosen)
        return self._view(chosen)

    def chunks(self, size: int) -> Iterator[Batch]:
        """Yields all examples in order, at most `size` at a time, without copies."""
        for start in range(0, len(self), size):
            yield self._view(tensor[start : start + size] for tensor in self._tensors)

    def even_chunks(self, count: int) -> Iterator[Batch]:
        """Yields all examples in order, in `count` chunks whose sizes differ by at most 1, without copies."""
        ends = [len(self) * (index + 1) // count for index in range(count)]
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            yield self._view(tensor[start:end] for tensor in self._tensors)

    def _view(self, tensors: Iterator[Tensor]) -> Batch:
        """Views images as (…, C, H, W)."""
        return tuple(
            tensor.movedim(-1, -3) if images else tensor for tensor, images in zip(tensors, self._images, strict=True)
        )


class ResidentData:
    """The three splits of a problem on a device, and the training examples on which the training loss is reported."""

    def __init__(self, problem: Problem, data: Data, device: str) -> None:
        self.train, self.valid, self.test = (
            Split(tensors, device, problem.channels_last) for tensors in (data.train, data.valid, data.test)
        )
        n = len(data.train[0])
        spread = torch.arange(min(n, TRAIN_SAMPLE)) * n // min(n, TRAIN_SAMPLE)
        self.train_sample = Split(tuple(t[spread] for t in data.train), device, problem.channels_last)
        self.device = device


# Cells are computed in the order of the matrix, so a cache of two data sets serves nearly all of them.
@lru_cache(maxsize=2)
def _load(selection_text: str, identity: str, source: DataSource, device: str) -> tuple[Problem, ResidentData]:
    from optbench import selection
    from optbench.problem.registry import make_problem

    chosen = selection.parse(selection_text)[0]
    problem = make_problem(chosen.name, dict(chosen.parameters))
    data = shared.attach_data((selection_text, identity)) or load_problem_data(problem, source)
    return problem, ResidentData(problem, data, device)


def load(choice: ProblemChoice, source: DataSource, device: str) -> tuple[Problem, ResidentData]:
    """Loads a problem and its data. The two data sets that this process used last are cached.

    Args:
        choice: The problem of a cell.
        source: Where the data are read from.
        device: Device to which the data are moved.

    Returns:
        The problem and its data.
    """
    return _load(*choice.key, source, device)
