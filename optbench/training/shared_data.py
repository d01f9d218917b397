"""Data that the coordinator loads once and shares with its worker processes.

The data are stored in an anonymous file (memfd). Such a file takes no space in /dev/shm, which is often small in
containers, and disappears with the last process that uses it, even if processes are killed. If the system does not
support it, or memory is short, workers load the data themselves.

A worker receives the locations of the data before it imports torch, so this module does not import torch at import
time.
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

#: Identifies the data of a problem: the selection as text, and the problem's identity as JSON.
Key = tuple[str, str]

#: Maximum share of the memory that is available at the start.
_SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True)
class SharedTensor:
    """The location of a tensor in the file, in bytes. Images are stored as (N, H, W, C), as in `device_data.Split`."""

    start: int
    length: int
    dtype: str
    shape: tuple[int, ...]
    images: bool


@dataclass(frozen=True)
class SharedData:
    """The locations of the splits of one problem in the file; picklable."""

    path: str
    length: int
    train: tuple[SharedTensor, ...]
    valid: tuple[SharedTensor, ...]
    test: tuple[SharedTensor, ...]

    def attach(self) -> Data:
        """Returns the splits as tensors on the shared pages. Writing to them changes this process's copy only.

        Raises:
            OSError: The file can't be opened.
            RuntimeError: The file can't be mapped.
        """
        import torch

        pages = torch.from_file(self.path, shared=False, size=self.length, dtype=torch.uint8)

        def view(places: tuple[SharedTensor, ...]) -> Batch:
            return tuple(_view(pages[place.start : place.start + place.length], place) for place in places)

        return Data(view(self.train), view(self.valid), view(self.test))


class SharedMemory:
    """Shared data of a run's problems, kept until `close`. Equal tensors are stored once."""

    def __init__(self) -> None:
        self.data: dict[Key, SharedData] = {}
        self._file: int | None = None
        self._end = 0
        # Without anonymous files, or if the available memory is unknown, nothing is shared.
        room = (available_memory() or 0) if hasattr(os, "memfd_create") else 0
        self._room = int(room * _SHARE_OF_MEMORY)
        self._known: dict[tuple[str, tuple[int, ...], bool], list[SharedTensor]] = {}

    def __enter__(self) -> SharedMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, key: Key, data: Data, channels_last: bool) -> None:
        """Copies the splits of a problem to the file, if they can be shared.

        Args:
            key: Key of the problem's data.
            data: The splits.
            channels_last: Whether images are stored channels-last.
        """
        splits = (data.train, data.valid, data.test)
        tensors = {id(tensor): tensor for split in splits for tensor in split}
        if not all(map(_is_plain, tensors.values())):
            return
        with suppress(OSError, MemoryError):
            placed = {name: self._place(t, channels_last and t.dim() == 4) for name, t in tensors.items()}
            train, valid, test = (tuple(placed[id(tensor)] for tensor in split) for split in splits)
            self.data[key] = SharedData(self._path(), self._end, train, valid, test)

    def for_workers(self) -> Callable[[], None]:
        """Returns a picklable function that makes the data available in a worker process."""
        return partial(_offer, dict(self.data))

    def close(self) -> None:
        """Closes the file; its memory is freed when the workers that map it have ended."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self.data.clear()

    def _place(self, tensor: Tensor, images: bool) -> SharedTensor:
        import torch

        stored = tensor.detach().permute(0, 2, 3, 1) if images else tensor.detach()
        kind = (str(stored.dtype).removeprefix("torch."), tuple(stored.shape), images)
        place = SharedTensor(self._end, stored.numel() * stored.element_size(), *kind)
        pages = self._write(stored, place)
        for known in self._known.setdefault(kind, []):
            # Compare bytes: as numbers 0 equals -0, and NaN does not equal itself.
            if torch.equal(self._map(known), pages):
                os.ftruncate(self._descriptor(), self._end)
                return known
        self._known[kind].append(place)
        self._end += math.ceil(place.length / mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        os.ftruncate(self._descriptor(), self._end)
        return place

    def _write(self, stored: Tensor, place: SharedTensor) -> Tensor:
        """Copies a tensor to its place and returns the bytes there."""
        if place.start + place.length > self._room:
            raise MemoryError(f"not enough memory for {place.length} bytes of shared data")
        # Reserve the pages first: if one could not be allocated on access, the system would kill the process.
        os.posix_fallocate(self._descriptor(), place.start, place.length)
        pages = self._map(place)
        pages.view(stored.dtype).view(stored.shape).copy_(stored)
        return pages

    def _map(self, place: SharedTensor) -> Tensor:
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


def attach_data(key: Key) -> Data | None:
    """Returns the shared data of a problem; None if they were not shared with this process or can't be mapped."""
    if key in _offered:
        with suppress(OSError, RuntimeError):
            return _offered[key].attach()
    return None


def _is_plain(tensor: Any) -> bool:
    """Whether a tensor is fully described by its bytes, type and shape."""
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
