"""The data of a problem: where they come from, their splits, and the plane of a two-dimensional problem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Batch = tuple["Tensor", ...]


@dataclass(frozen=True)
class DataSource:
    """Where data may come from: a `directory` in torchvision's layout, and whether to `download` what it lacks."""

    directory: Path
    download: bool = True


@dataclass(frozen=True)
class Data:
    """Training, validation and test examples: the splits `train`, `valid` and `test`.

    Each is a tuple of tensors of equal first dimension N, on the CPU; `loss` and `metric` receive the same tuple,
    indexed by the examples of a batch.
    """

    train: Batch
    valid: Batch
    test: Batch

    @classmethod
    def split(cls, *tensors: Tensor, valid: float = 0.1, test: float = 0.1, seed: int = 0) -> Data:
        """Splits `tensors` of equal first dimension, at random and the same way every time for a `seed`; `valid` and
        `test` are the shares of the examples that are set apart.

        Raises UserError for what is no tensor, for lengths that differ, and for a split without examples.
        """
        import numpy as np
        import torch

        for given in tensors:
            if not isinstance(given, torch.Tensor):
                raise UserError(f"Data.split has a {type(given).__name__} (accepted: tensors; see torch.as_tensor)")
        lengths = [len(tensor) for tensor in tensors]
        if len(set(lengths)) != 1:
            raise UserError(f"Data.split has tensors of {lengths} examples (accepted: one or more, of equal length)")
        total = lengths[0]
        held = [round(share * total) for share in (valid, test)]
        counts = [total - sum(held), *held]
        if min(counts) < 1:
            raise UserError(
                f"Data.split makes {counts[0]} training, {counts[1]} validation and {counts[2]} test examples of "
                f"{total} (accepted: at least one of each)"
            )
        order = torch.from_numpy(np.random.RandomState(seed).permutation(total))
        return cls(*(tuple(tensor[part] for tensor in tensors) for part in order.split(counts)))


@dataclass(frozen=True)
class Plane:
    """What the trajectory plot of a two-dimensional problem needs: `start` and `minimum` as (x, y), and as `domain` the
    drawn region ((x_low, x_high), (y_low, y_high)).
    """

    start: tuple[float, float]
    minimum: tuple[float, float]
    domain: tuple[tuple[float, float], tuple[float, float]]


def default_data_dir() -> Path:
    """The user's cache directory: where downloaded data sets are kept between projects."""
    from platformdirs import user_cache_path

    return user_cache_path("optbench") / "data"
