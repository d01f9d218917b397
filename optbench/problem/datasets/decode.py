"""Decodes a folder of images once and caches the pixels in a file that later processes map into memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from optbench.errors import UserError, one_line
from optbench.problem.datasets import image_file
from optbench.problem.datasets.folder import Folder
from optbench.problem.datasets.pixels import Pixels

#: Increase it whenever decoding changes.
_VERSION = 2


def cache_directory() -> Path:
    """Return the directory of the cache: $OPTBENCH_CACHE if it is set, otherwise the user's cache directory."""
    from platformdirs import user_cache_path

    given = os.environ.get("OPTBENCH_CACHE")
    return Path(given).expanduser() if given else user_cache_path("optbench")


def read(folder: Folder, size: int, channels: int) -> Pixels:
    """Read all images of a folder.

    Images are decoded by Pillow, and cached under a hash of the names and contents of
    the files.

    Args:
        folder: The folder.
        size: Width and height to which images are scaled, in pixels.
        channels: 1 for grey images, 3 for RGB.

    Raises:
        UserError: If a file is not a readable image.
    """
    pixels = _read_through_cache(folder, size, channels)
    classes = np.arange(len(folder.classes))
    count = sum(folder.train)
    return Pixels(
        train=pixels[:count],
        train_labels=np.repeat(classes, folder.train),
        test=pixels[count:],
        test_labels=np.repeat(classes, folder.test),
    )


def _read_through_cache(folder: Folder, size: int, channels: int) -> np.ndarray:
    shape = (sum(folder.train) + sum(folder.test), size, size, channels)
    key = hashlib.sha256(f"{_VERSION} {size} {channels} {folder.fingerprint()}".encode()).hexdigest()[:32]
    path = cache_directory() / "folders" / f"{key}.npy"
    with _lock(path):
        pixels = _valid(path)
        if pixels is None:
            pixels = _decode(folder, shape)
            try:
                _write(path, pixels)
            except OSError as error:
                warnings.warn(f"decoded images can't be cached in {path.parent}: {one_line(error)}", stacklevel=2)
    return pixels


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process decode a folder while others that need it wait for the result."""
    from filelock import FileLock

    lock = FileLock(path.with_suffix(".lock"))
    # If the cache is not writable, no lock is needed.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _valid(path: Path) -> np.ndarray | None:
    """The cached array, mapped read-only, or None if it is missing or corrupt."""
    try:
        if path.with_suffix(".sha256").read_bytes() != _digest(path):
            return None
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        return None


def _write(path: Path, pixels: np.ndarray) -> None:
    with _replacing(path) as file:
        np.save(file, pixels, allow_pickle=False)
    with _replacing(path.with_suffix(".sha256")) as file:
        file.write(_digest(path))


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _decode(folder: Folder, shape: tuple[int, ...]) -> np.ndarray:
    paths = [str(folder.root / name) for name in folder.images]
    try:
        traits = [image_file.traits(path) for path in paths]
        deep = [index for index, found in enumerate(traits) if "deep" in found]
        # The range is that of the training images, except if all such images are test images.
        known = [index for index in deep if index < sum(folder.train)] or deep
        levels = image_file.range_of(paths[index] for index in known) if known else (0, 255)
        pixels = np.empty(shape, dtype=np.uint8)
        for index, path in enumerate(paths):
            pixels[index] = image_file.read(path, shape[1], shape[3], levels)
    except FileNotFoundError:
        raise UserError(f"image folder {str(folder.root)!r} changed while it was read; run again") from None
    _refuse_dark(folder, pixels[["sixteen" in found for found in traits]])
    return pixels


def _refuse_dark(folder: Folder, sixteen: np.ndarray) -> None:
    """Refuses colours of 12 bits in files of 16, of which Pillow reads the upper 8 bits alone."""
    if len(sixteen) and sixteen.max() < 16:
        raise UserError(
            f"image folder {str(folder.root)!r} has {len(sixteen)} colour images of 16 bits that use the lower 12 only "
            "(accepted: colours of 8 bits, or those that use all 16)"
        )
