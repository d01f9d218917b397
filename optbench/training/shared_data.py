"""Data that the coordinator loads once, and that its workers map instead of loading it again.

It lies in a file without a name (memfd). That takes no room in /dev/shm, which containers often make
small, and it is gone with the last process that uses it, whichever of them were killed. Where the system
has no such files, or not enough memory, workers load as they would alone.

A worker learns of its data before it imports torch, so nothing here does at import time.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench.machine.memory import available_memory
from optbench.problem.data import Batch, Data

if TYPE_CHECKING:
    from torch import Tensor

#: Which data it is: a selection as text, and the identity of the problem as JSON.
Key = tuple[str, str]

#: The share of the memory that is available at first which shared data may take.
_SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True)
class SharedTensor:
    """Where a tensor lies, in bytes; images as (N, H, W, C), as `resident.Split` holds them."""

    start: int
    length: int
    dtype: str
    shape: tuple[int, ...]
    images: bool


@dataclass(frozen=True)
class SharedData:
    """Where the splits of one problem lie; small, and picklable."""

    path: str
    length: int
    train: tuple[SharedTensor, ...]
    valid: tuple[SharedTensor, ...]
    test: tuple[SharedTensor, ...]

    def attach(self) -> Data:
        """The splits as tensors on the shared pages; writing to them changes copies of this process alone.

        Raises OSError or RuntimeError where the pages can't be mapped.
        """
        import torch

        pages = torch.from_file(self.path, shared=False, size=self.length, dtype=torch.uint8)

        def split(places: tuple[SharedTensor, ...]) -> Batch:
            return tuple(_view(pages[place.start : place.start + place.length], place) for place in places)

        return Data(split(self.train), split(self.valid), split(self.test))


class SharedMemory:
    """The data of a run's problems, held until `close`. Equal tensors are held once."""

    def __init__(self) -> None:
        self.data: dict[Key, SharedData] = {}
        self._file: int | None = None
        self._end = 0
        # Without such files, or where the system doesn't say what is left, nothing is shared.
        room = (available_memory() or 0) if hasattr(os, "memfd_create") else 0
        self._room = int(room * _SHARE_OF_MEMORY)
        self._known: dict[tuple[str, tuple[int, ...], bool], list[SharedTensor]] = {}

    def __enter__(self) -> SharedMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, key: Key, data: Data, channels_last: bool) -> None:
        """Copies the splits, under this key; leaves them out where they can't be shared."""
        splits = (data.train, data.valid, data.test)
        tensors = {id(tensor): tensor for split in splits for tensor in split}
        if not all(map(_is_plain, tensors.values())):
            return
        with suppress(OSError, MemoryError):
            placed = {name: self._place(t, channels_last and t.dim() == 4) for name, t in tensors.items()}
            train, valid, test = (tuple(placed[id(tensor)] for tensor in split) for split in splits)
            self.data[key] = SharedData(self._path(), self._end, train, valid, test)

    def for_workers(self) -> Callable[[], None]:
        """What a worker has to call to find the data; picklable."""
        return partial(_offer, dict(self.data))

    def close(self) -> None:
        """Lets go of the memory; workers that map it keep it until they end."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self.data.clear()

    def _place(self, tensor: Tensor, images: bool) -> SharedTensor:
        import torch

        stored = tensor.detach().permute(0, 2, 3, 1) if images else tensor.detach()
        kind = (str(stored.dtype).removeprefix("torch."), tuple(stored.shape), images)
        place = SharedTensor(self._end, stored.numel() * stored.element_size(), *kind)
        written = self._written(stored, place)
        for known in self._known.setdefault(kind, []):
            # As bytes: 0 and -0 are equal numbers, and NaN is not even equal to itself.
            if torch.equal(self._mapped(known), written):
                os.ftruncate(self._descriptor(), self._end)
                return known
        self._known[kind].append(place)
        self._end += math.ceil(place.length / mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        os.ftruncate(self._descriptor(), self._end)
        return place

    def _written(self, stored: Tensor, place: SharedTensor) -> Tensor:
        if place.start + place.length > self._room:
            raise MemoryError(f"no room for {place.length} bytes of shared data")
        # Reserved first: a page that can't be had later would end the process without a word.
        os.posix_fallocate(self._descriptor(), place.start, place.length)
        pages = self._mapped(place)
        pages.view(stored.dtype).view(stored.shape).copy_(stored)
        return pages

    def _mapped(self, place: SharedTensor) -> Tensor:
        import torch

        return torch.frombuffer(mmap.mmap(self._descriptor(), place.length, offset=place.start), dtype=torch.uint8)

    def _descriptor(self) -> int:
        if self._file is None:
            self._file = os.memfd_create("optbench")
        return self._file

    def _path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._descriptor()}"


_offered: dict[Key, SharedData] = {}


def _offer(data: Mapping[Key, SharedData]) -> None:
    _offered.update(data)


def attached(key: Key) -> Data | None:
    """The data of this key on shared pages; None where this process is no worker, or can't map them."""
    if key in _offered:
        with suppress(OSError, RuntimeError):
            return _offered[key].attach()
    return None


def _is_plain(tensor: Any) -> bool:
    """Whether its bytes are all there is to it."""
    import torch

    return (
        type(tensor) is torch.Tensor
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and not tensor.is_quantized
        and tensor.numel() > 0
    )


def _view(pages: Tensor, place: SharedTensor) -> Tensor:
    import torch

    stored = pages.view(getattr(torch, place.dtype)).view(place.shape)
    return stored.permute(0, 3, 1, 2) if place.images else stored
