"""Decodes a folder of images once and caches the pixels in a file that later processes map into memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from optbench.errors import UserError, one_line
from optbench.problem.datasets.folder import Folder
from optbench.problem.datasets.pixels import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

#: Increase it whenever decoding changes.
_VERSION = 1


def cache_directory() -> Path:
    """Return the directory of the cache: $OPTBENCH_CACHE if it is set, otherwise the user's cache directory."""
    from platformdirs import user_cache_path

    given = os.environ.get("OPTBENCH_CACHE")
    return Path(given).expanduser() if given else user_cache_path("optbench")


def read(folder: Folder, size: int, channels: int) -> Pixels:
    """Read all images of a folder.

    Images are decoded by torchvision's ImageFolder and Pillow, and cached under a hash of the names and contents of
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
    from torchvision.datasets import ImageFolder

    pixels = np.empty(shape, dtype=np.uint8)
    at = 0
    for split, counts in (("train", folder.train), ("test", folder.test)):
        try:
            images = ImageFolder(str(folder.root / split), loader=lambda path: _open(path, shape[1], shape[3]))
        except OSError:
            raise _change_error(folder) from None
        if tuple(images.classes) != folder.classes or tuple(np.bincount(images.targets)) != counts:
            raise _change_error(folder)
        for index in range(len(images)):
            pixels[at] = images[index][0]
            at += 1
    return pixels


def _change_error(folder: Folder) -> UserError:
    return UserError(f"image folder {str(folder.root)!r} changed while it was read; run again")


def _open(path: str, size: int, channels: int) -> np.ndarray:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # A file of a few kilobytes may declare an image of gigabytes.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                pixels = np.asarray(_scale(image, size, channels))
    except Exception as error:  # Pillow's decoders raise various exceptions for broken files
        raise UserError(f"image {path!r} can't be read: {_reason(error)}") from error
    return pixels.reshape(size, size, channels)


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "Pillow does not recognise it as an image"
    return one_line(error)


def _scale(image: Image, size: int, channels: int) -> Image:
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a defined range")
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit grey levels at 255 instead of scaling them.
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return image
