"""Lists a folder of images, `train/<class>/…` and `test/<class>/…`, without opening the images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from optbench.errors import UserError
from optbench.problem.content import file_digest

#: File name extensions of images. Other files are ignored, as in torchvision's ImageFolder.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_LAYOUT = "train/<class>/… and test/<class>/… with images in each class"


@dataclass(frozen=True)
class Folder:
    """The content of a folder of images. The numbers of images are in the order of `classes`."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    #: Relative names of all images.
    images: tuple[str, ...]

    def fingerprint(self) -> str:
        """Return a hash of the names and contents of all images, which does not depend on the folder's location.

        Raises:
            UserError: If an image can't be read.
        """
        digest = hashlib.sha256()
        try:
            for name in self.images:
                # File names that are not valid Unicode contain surrogates.
                line = f"{name}\0{file_digest(self.root / name)}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        except OSError as error:
            _refuse(self.root, f"can't be read: {error.strerror}: {error.filename}")
        return digest.hexdigest()[:32]


#: Folders that were scanned, each with the modification times of its directories.
_cache: dict[Path, tuple[Folder, dict[str, int]]] = {}


def scan(root: Path) -> Folder:
    """List the content of a folder of images; the result is cached until one of its directories changes.

    Raises:
        UserError: If the folder does not have the layout of a data set.
    """
    root = root.absolute()
    if root in _cache:
        folder, directories = _cache[root]
        if all(_modification_time(path) == time for path, time in directories.items()):
            return folder
    directories = {}
    try:
        folder = _scan(root, directories)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _refuse(root, f"can't be read: {reason}: {getattr(error, 'filename', None) or root!s}")
    _cache[root] = folder, directories
    return folder


def _scan(root: Path, directories: dict[str, int]) -> Folder:
    if not root.is_dir():
        _refuse(root, "is not a folder" if root.exists() else "does not exist")
    splits: dict[str, dict[str, list[str]]] = {}
    for split in ("train", "test"):
        if not (root / split).is_dir():
            _refuse(root, f"has no {split}/")
        splits[split] = _classes(root, split, directories)
    train, test = splits["train"], splits["test"]
    for name in sorted(train.keys() ^ test.keys()):
        here, there = ("train", "test") if name in train else ("test", "train")
        _refuse(root, f"has the class {name!r} in {here}/ but not in {there}/")
    if len(train) < 2:
        _refuse(root, f"has {'only one class' if train else 'no classes'} in train/ but needs at least two")
    for split, classes in splits.items():
        for name, images in classes.items():
            if not images:
                _refuse(root, f"has no image in {split}/{name} (extensions of images: {' '.join(ENDINGS)})")
    # Sorted, because the order of directory entries differs between machines.
    names = tuple(sorted(image for classes in splits.values() for members in classes.values() for image in members))
    classes_in_order = tuple(sorted(train))
    return Folder(
        root=root,
        classes=classes_in_order,
        train=tuple(len(train[name]) for name in classes_in_order),
        test=tuple(len(test[name]) for name in classes_in_order),
        images=names,
    )


def _classes(root: Path, split: str, directories: dict[str, int]) -> dict[str, list[str]]:
    directories[str(root)] = _modification_time(str(root))
    top = str(root / split)
    directories[top] = _modification_time(top)
    with os.scandir(top) as entries:
        return {
            entry.name: list(_images(entry.path, f"{split}/{entry.name}", directories))
            for entry in entries
            if entry.is_dir()
        }


def _images(path: str, name: str, directories: dict[str, int]) -> Iterator[str]:
    directories[path] = _modification_time(path)
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _images(entry.path, f"{name}/{entry.name}", directories)
            elif entry.name.lower().endswith(ENDINGS):
                entry.stat()  # raises OSError for a link to nowhere
                yield f"{name}/{entry.name}"


def _modification_time(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return -1


def _refuse(root: Path, reason: str) -> NoReturn:
    raise UserError(f"image folder {str(root)!r} {reason} (accepted: {_LAYOUT})")
