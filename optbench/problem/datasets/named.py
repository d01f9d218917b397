"""Reads the named data sets, from where torchvision keeps them or from what scikit-learn ships."""

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
from optbench.problem.datasets.download import guarded
from optbench.problem.datasets.known import KNOWN
from optbench.problem.datasets.pixels import Pixels, drawn

_TORCHVISION = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
#: torchvision checks the archives of MNIST, but not the files that it reads later.
_MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def read(name: str, source: DataSource, size: int) -> Pixels:
    """The images of a named data set, `size` pixels wide and high.

    Raises UserError where they are missing and may not or can't be downloaded, or are corrupt.
    """
    return _digits(size) if name == "digits" else _from_torchvision(name, source)


def _digits(size: int) -> Pixels:
    """scikit-learn's 8 × 8 digits, enlarged by linear interpolation."""
    import torch
    from sklearn.datasets import load_digits

    found = load_digits()
    # Their 17 shades, 0 to 16, are spread over those of a byte.
    images = torch.from_numpy(found.images * (255 / 16))[:, None]
    larger = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    pixels = larger.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    labels = found.target.astype(np.int64)
    test, train = drawn(len(pixels), KNOWN["digits"].test)
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
            what = "is incomplete" if present else "was not found"
            raise UserError(
                f"data set {name} {what} in {folder} (accepted: torchvision's layout below --data-dir; "
                "downloaded where --no-download is not given)"
            )
        _download(name, cls, root)
    if name.endswith("mnist"):
        _check_idx_files(name, folder)
    try:
        train, test = cls(root, train=True), cls(root, train=False)
    except Exception as error:  # it has no type of its own for files that are not what they should be
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

    advice = "; give the directory of a copy with --data-dir, or choose data=digits, which needs no network"
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Workers that start together must not write into each other's files.
        with FileLock(root / f".{name}.lock"), guarded():
            cls(root, train=True, download=True)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
        # torchvision's last line is the answer of the last mirror.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(f"data set {name} can't be downloaded to {root}: {reason}{advice}") from error


def _check_idx_files(name: str, folder: Path) -> None:
    """Compares header and length of MNIST's files with what they must be, of the original also the content."""
    known = KNOWN[name]
    for prefix, count in (("train", known.train), ("t10k", known.test)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            path = folder / f"{prefix}-{kind}-ubyte"
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            size = len(header) + math.prod(shape)
            try:
                with path.open("rb") as file:
                    content = file.read(size + 1)  # however large it is
                found = path.stat().st_size
            except OSError as error:
                raise _corrupt(name, path, one_line(error)) from error
            if not content.startswith(header):
                raise _corrupt(name, path, "its header is not that of the data set")
            if len(content) != size:
                raise _corrupt(name, path, f"it has {found} bytes, not {size}")
            if len(shape) == 1 and max(content[len(header) :]) >= known.classes:
                raise _corrupt(name, path, f"it has labels beyond {known.classes - 1}")
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if name == "mnist" and digest != _MNIST_MD5[path.name]:
                raise _corrupt(name, path, "its content is not that of the data set (MD5)")


def _corrupt(name: str, path: Path, reason: str) -> UserError:
    return UserError(f"data set {name} is corrupt: {path}: {reason} (delete it to have it downloaded anew)")


def _bytes(images: Any) -> np.ndarray:
    array = np.asarray(images)
    return array[..., None] if array.ndim == 3 else array


def _labels(targets: Any) -> np.ndarray:
    return np.asarray(targets, dtype=np.int64)
