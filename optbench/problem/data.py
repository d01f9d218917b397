"""The data of a problem: their source, their splits, and the plane of a two-dimensional problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Batch = tuple["Tensor", ...]


@dataclass(frozen=True)
class DataSource:
    """The source of data: a `directory` in torchvision's layout, and whether to `download` missing data into it."""

    directory: Path
    download: bool = True


@dataclass(frozen=True)
class Data:
    """Training, validation and test examples: the splits `train`, `valid` and `test`.

    Each split is a tuple of CPU tensors with the same first dimension N. `loss` and `metric` receive a tuple of the
    same form with the examples of a batch.
    """

    train: Batch
    valid: Batch
    test: Batch

    @classmethod
    def split(cls, *tensors: Tensor, valid: float = 0.1, test: float = 0.1, seed: int = 0) -> Data:
        """Split tensors at random into training, validation and test examples.

        Args:
            *tensors: One or more tensors with the same first dimension N.
            valid: Share of the examples in the validation split.
            test: Share of the examples in the test split.
            seed: Seed of the random split; equal seeds give equal splits.

        Raises:
            UserError: If an argument is not a tensor, the lengths differ, or a split would be empty.
        """
        import numpy as np
        import torch

        for given in tensors:
            if not isinstance(given, torch.Tensor):
                raise UserError(f"Data.split got a {type(given).__name__} (accepted: tensors; see torch.as_tensor)")
        lengths = [len(tensor) for tensor in tensors]
        if len(set(lengths)) != 1:
            raise UserError(f"Data.split got tensors of {lengths} examples (accepted: one or more, of equal length)")
        total = lengths[0]
        held_out = [round(share * total) for share in (valid, test)]
        counts = [total - sum(held_out), *held_out]
        if min(counts) < 1:
            raise UserError(
                f"Data.split would make {counts[0]} training, {counts[1]} validation and {counts[2]} test examples of "
                f"{total} (accepted: at least one of each)"
            )
        order = torch.from_numpy(np.random.RandomState(seed).permutation(total))
        return cls(*(tuple(tensor[part] for tensor in tensors) for part in order.split(counts)))


class MisshapenData(UserError):
    """Data that `load_data` returned in a form that is not accepted."""


_ACCEPTED = "a tuple of tensors, such as (x, y), that have the same number of examples, at least one"


def check_splits(problem: str, loaded: object) -> Data:
    """Check the form of what a problem's `load_data` returned: the only place that does.

    Args:
        problem: The problem's name, for messages.
        loaded: What `load_data` returned.

    Returns:
        The data, in which a split that was a list is a tuple.

    Raises:
        MisshapenData: If it is not `Data`, or a split is not a tuple of tensors of the same number of examples.
    """
    import torch

    if not isinstance(loaded, Data):
        raise MisshapenData(
            f"what load_data() of {problem} returned is {_described(loaded)} (accepted: Data(train, valid, test), each "
            f"{_ACCEPTED})"
        )
    splits = {name: getattr(loaded, name) for name in ("train", "valid", "test")}
    for name, split in splits.items():
        refused = partial(_refused_split, problem, name)
        if not isinstance(split, tuple | list):
            raise refused(f"is {_described(split)}", split)
        if not split:
            raise refused(f"is an empty {type(split).__name__}")
        for index, part in enumerate(split):
            if not isinstance(part, torch.Tensor):
                raise refused(f"has a part that is {_described(part)}, at position {index}", part)
            if not part.dim():
                raise refused(f"has a single number at position {index}")
        lengths = [part.shape[0] if part.layout == torch.strided else len(part) for part in split]
        if len(set(lengths)) > 1:
            raise refused(f"has tensors of {', '.join(map(str, lengths))} examples")
        if not lengths[0]:
            raise refused("has no examples")
    if all(isinstance(split, tuple) for split in splits.values()):
        return loaded
    return Data(**{name: tuple(split) for name, split in splits.items()})


def _refused_split(problem: str, name: str, reason: str, given: object = None) -> MisshapenData:
    return MisshapenData(f"load_data() of {problem}: split {name} {reason} (accepted: {_ACCEPTED}{_advice(given)})")


def _described(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _advice(given: object) -> str:
    """How tensors are made of other data, in words that follow a semicolon."""
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    if isinstance(given, torch.Tensor):
        return "; (x,) if there is one tensor only"
    if isinstance(given, Dataset) and not isinstance(given, IterableDataset):
        return "; default_collate([dataset[i] for i in range(len(dataset))]) of torch.utils.data makes them"
    if isinstance(given, DataLoader):
        return "; optbench draws the batches itself"
    return "; torch.as_tensor makes them" if hasattr(given, "__array__") else ""


@dataclass(frozen=True)
class Plane:
    """The plane of a two-dimensional problem, for its trajectory plot.

    `start` and `minimum` are points (x, y); `domain` is the plotted region ((x_low, x_high), (y_low, y_high)).
    """

    start: tuple[float, float]
    minimum: tuple[float, float]
    domain: tuple[tuple[float, float], tuple[float, float]]


def default_data_dir() -> Path:
    """Return the default directory for downloaded data sets, in the user's cache directory."""
    from platformdirs import user_cache_path

    return user_cache_path("optbench") / "data"


_planned: ContextVar[DataSource | None] = ContextVar("planned", default=None)


@contextmanager
def reading_from(source: DataSource) -> Iterator[None]:
    """A context in which planning reads data from `source`, without a download, instead of the default directory."""
    token = _planned.set(replace(source, download=False))
    try:
        yield
    finally:
        _planned.reset(token)


def planning_source() -> DataSource:
    """Return where planning reads data from (see `reading_from`)."""
    return _planned.get() or DataSource(default_data_dir(), download=False)


class WatchedSource(DataSource):
    """A data source that notes in `used` whether its directory was asked for."""

    used = False

    def __getattribute__(self, name: str) -> object:
        if name == "directory":
            object.__setattr__(self, "used", True)
        return super().__getattribute__(name)
