"""Reads the named image data sets, through torchvision or from scikit-learn."""

from __future__ import annotations

import hashlib
import http.client
import math
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from optbench.errors import UserError, one_line
from optbench.problem.data import DataSource
from optbench.problem.datasets.download import download_guard
from optbench.problem.datasets.known import DATASETS
from optbench.problem.datasets.pixels import Pixels, draw_split

_TORCHVISION = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
#: torchvision verifies the archives of MNIST but not the extracted files, which it reads.
_MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def read(name: str, source: DataSource, size: int) -> Pixels:
    """Read a named image data set.

    Args:
        name: One of `DATASETS`.
        source: The directory of the data, and whether missing data may be downloaded.
        size: Width and height of the digits in pixels; the other data sets keep their own size.

    Raises:
        UserError: If the data are corrupt, or if they are missing and can't be downloaded.
    """
    return _digits(size) if name == "digits" else _from_torchvision(name, source)


def _digits(size: int) -> Pixels:
    """scikit-learn's 8 × 8 digits, enlarged by bilinear interpolation."""
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    # The grey levels 0 to 16 are scaled to 0 to 255.
    images = torch.from_numpy(digits.images * (255 / 16))[:, None]
    larger = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    pixels = larger.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    labels = digits.target.astype(np.int64)
    test, train = draw_split(len(pixels), DATASETS["digits"].test)
    return Pixels(pixels[train], labels[train], pixels[test], labels[test])


def _from_torchvision(name: str, source: DataSource) -> Pixels:
    from torchvision import datasets

    cls = getattr(datasets, _TORCHVISION[name])
    root = source.directory.expanduser()
    folder = root / ("" if name.startswith("cifar") else f"{cls.__name__}/raw")
    folder = folder / getattr(cls, "base_folder", "")
    present = folder.is_dir() and any(folder.iterdir())
    if not _complete(folder, cls):
        if not source.download:
            state = "is incomplete" if present else "was not found"
            raise UserError(
                f"data set {name} {state} in {folder} (accepted: torchvision's layout below --data-dir; "
                "without --no-download it is downloaded)"
            )
        _download(name, cls, root)
    if name.endswith("mnist"):
        _check_idx_files(name, folder)
    try:
        train, test = cls(root, train=True), cls(root, train=False)
    except Exception as error:  # torchvision has no specific exception type for corrupt files
        raise _corrupt(name, folder, one_line(error)) from error
    return Pixels(_bytes(train.data), _labels(train.targets), _bytes(test.data), _labels(test.targets))


def _files(cls: Any) -> list[str]:
    if hasattr(cls, "resources"):
        return [Path(archive).stem for archive, _ in cls.resources]
    return [file for file, _ in [*cls.train_list, *cls.test_list]] + [cls.meta["filename"]]


def _complete(folder: Path, cls: Any) -> bool:
    return all((folder / file).is_file() for file in _files(cls))


def _download(name: str, cls: Any, root: Path) -> None:
    from filelock import FileLock

    advice = "; give the directory of a copy with --data-dir, or choose data=digits, which needs no download"
    try:
        root.mkdir(parents=True, exist_ok=True)
        # The lock keeps workers that start at the same time from writing to the same files.
        with FileLock(root / f".{name}.lock"), download_guard():
            cls(root, train=True, download=True)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
        # The last line of torchvision's message is the error from the last mirror.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(f"data set {name} can't be downloaded to {root}: {reason}{advice}") from error


def _check_idx_files(name: str, folder: Path) -> None:
    """Check header, length and labels of MNIST-like files; for MNIST itself also the MD5 hash of the content."""
    known = DATASETS[name]
    for prefix, count in (("train", known.train), ("t10k", known.test)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            path = folder / f"{prefix}-{kind}-ubyte"
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            size = len(header) + math.prod(shape)
            try:
                with path.open("rb") as file:
                    content = file.read(size + 1)  # limited, because a corrupt file may be very large
                actual_size = path.stat().st_size
            except OSError as error:
                raise _corrupt(name, path, one_line(error)) from error
            if not content.startswith(header):
                raise _corrupt(name, path, "its header is wrong")
            if len(content) != size:
                raise _corrupt(name, path, f"it has {actual_size} bytes instead of {size}")
            if len(shape) == 1 and max(content[len(header) :]) >= known.classes:
                raise _corrupt(name, path, f"it has labels above {known.classes - 1}")
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if name == "mnist" and digest != _MNIST_MD5[path.name]:
                raise _corrupt(name, path, "its MD5 hash is wrong")


def _corrupt(name: str, path: Path, reason: str) -> UserError:
    return UserError(f"data set {name} is corrupt: {path}: {reason} (delete it to download it again)")


def _bytes(images: Any) -> np.ndarray:
    array = np.asarray(images)
    return array[..., None] if array.ndim == 3 else array


def _labels(targets: Any) -> np.ndarray:
    return np.asarray(targets, dtype=np.int64)
