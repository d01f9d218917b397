"""Lists a folder of images, `train/<class>/…` and `test/<class>/…`, or `<class>/…`, without opening the images."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from optbench.errors import UserError
from optbench.problem.content import file_digest

#: File name extensions of images, as in torchvision's ImageFolder. Other files are left out, with a note.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_ENDINGS = " ".join(ENDINGS)
_LAYOUT = "train/<class>/… and test/<class>/… with images in each class, or <class>/… alone"
#: Leftovers of systems and archives, in lower case. These and hidden files are left out without a note.
_LEFTOVERS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx")
#: Names of splits, in lower case: folders of these names are not classes.
_SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation")
#: One image of a class in 5 is for the test if the folder has no train/ and test/.
_ONE_TEST_IN = 5

#: The relative names of the images of each class.
_Classes = Mapping[str, list[str]]


@dataclass(frozen=True)
class Folder:
    """The content of a folder of images. The numbers of images are in the order of `classes`."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    #: Relative names of all images: those of train, then those of test, by class.
    images: tuple[str, ...]
    #: Whether test images are drawn from those of each class, because there are no folders train/ and test/.
    drawn: bool = False
    #: How many files were left out, by extension.
    left_out: tuple[tuple[str, int], ...] = ()

    def notes(self) -> list[str]:
        """Return a line for each decision that the user may not expect."""
        shown, notes = f"image folder {str(self.root)!r}", []
        if self.drawn:
            notes.append(
                f"{shown} has no train/ and test/: {sum(self.test)} of its {len(self.images)} images are for the test, "
                "drawn from each class in the same way every time"
            )
        if self.left_out:
            counts = ", ".join(f"{count} {extension or 'without extension'}" for extension, count in self.left_out)
            notes.append(f"{shown}: files left out by their extension: {counts} (extensions of images: {_ENDINGS})")
        return notes

    def fingerprint(self) -> str:
        """Return a hash of the names and contents of all images, which does not depend on the folder's location.

        Raises:
            UserError: If an image can't be read.
        """
        digest = hashlib.sha256()
        try:
            for name in sorted(self.images):
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
    listing = _Listing(root)
    try:
        folder = _scan(listing)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _refuse(root, f"can't be read: {reason}: {getattr(error, 'filename', None) or root!s}")
    _cache[root] = folder, listing.directories
    return folder


@dataclass
class _Listing:
    """Lists the classes of a folder, and notes which directories were read and which files were left out."""

    root: Path
    directories: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def classes(self, place: str) -> dict[str, list[str]]:
        """Lists the images of each class in the subdirectory `place`."""
        self.directories[str(self.root)] = _modification_time(str(self.root))
        return {directory: self._images(f"{place}{directory}") for directory in self._entries(place)[0]}

    def _images(self, place: str) -> list[str]:
        """Lists images in the order of torchvision's ImageFolder: by directory, then by name."""
        directories, files = self._entries(place)
        images = []
        for name in files:
            if name.lower().endswith(ENDINGS):
                (self.root / place / name).stat()  # raises OSError for a link to nowhere
                images.append(f"{place}/{name}")
            else:
                self.left_out[Path(name).suffix.lower()] += 1
        for name in directories:
            images += self._images(f"{place}/{name}")
        return sorted(images, key=lambda image: image.rpartition("/")[::2])

    def _entries(self, place: str) -> tuple[list[str], list[str]]:
        """Lists directories and files, sorted, because the order of entries differs between machines."""
        path = str(self.root / place)
        self.directories[path] = _modification_time(path)
        with os.scandir(path) as entries:
            found = [entry for entry in entries if not _is_leftover(entry.name)]
        directories = sorted(entry.name for entry in found if entry.is_dir())
        return directories, sorted(entry.name for entry in found if not entry.is_dir())


def _is_leftover(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFTOVERS


def _scan(listing: _Listing) -> Folder:
    root = listing.root
    if not root.is_dir():
        _refuse(root, "is not a folder" if root.exists() else "does not exist")
    drawn = not any((root / split).is_dir() for split in ("train", "test"))
    train, test = _draw_test(listing) if drawn else _read_splits(listing)
    classes = sorted(train)
    return Folder(
        root=root,
        classes=tuple(classes),
        train=tuple(len(train[name]) for name in classes),
        test=tuple(len(test[name]) for name in classes),
        images=tuple(image for split in (train, test) for name in classes for image in split[name]),
        drawn=drawn,
        left_out=tuple(sorted(listing.left_out.items())),
    )


def _read_splits(listing: _Listing) -> tuple[_Classes, _Classes]:
    root, splits = listing.root, {}
    for split in ("train", "test"):
        if not (root / split).is_dir():
            _refuse(root, f"has no {split}/")
        splits[split] = listing.classes(f"{split}/")
        _refuse_look_alikes(root, f"{split}/", splits[split])
    train, test = splits["train"], splits["test"]
    for name in sorted(train.keys() ^ test.keys()):
        here, there = ("train", "test") if name in train else ("test", "train")
        if other := [alike for alike in splits[there] if _normalised(alike) == _normalised(name)]:
            _refuse(root, f"has the class {name!a} in {here}/ but {other[0]!a} in {there}/: {_ALIKE}")
        _refuse(root, f"has the class {name!r} in {here}/ but not in {there}/")
    if len(train) < 2:
        _refuse(root, f"has {'only one class' if train else 'no classes'} in train/ but needs at least two")
    for split, classes in splits.items():
        for name, images in classes.items():
            if not images:
                _refuse(root, f"has no image in {split}/{name} (extensions of images: {_ENDINGS})")
    return train, test


def _draw_test(listing: _Listing) -> tuple[_Classes, _Classes]:
    """Takes one image in 5 of each class for the test: those whose names have the lowest hashes.

    Neither the order of a directory nor a later image changes the split of the others much.
    """
    root, classes = listing.root, listing.classes("")
    if splits := [name for name in sorted(classes) if name.lower() in _SPLITS]:
        _refuse(root, f"has {splits[0]}/ but no train/ and test/ (rename the folders)")
    if len(classes) < 2 or not any(classes.values()):
        _refuse(root, "has no train/")
    _refuse_look_alikes(root, "", classes)
    train, test = {}, {}
    for name, images in classes.items():
        if len(images) < 2:
            _refuse(root, f"has {len(images)} images in {name}/ but needs at least two, one of them for the test")
        count = max(1, len(images) // _ONE_TEST_IN)
        drawn = set(sorted(images, key=lambda image: hashlib.sha256(os.fsencode(image)).digest())[:count])
        train[name] = [image for image in images if image not in drawn]
        test[name] = [image for image in images if image in drawn]
    return train, test


_ALIKE = "the same letters in two forms of Unicode (rename one)"


def _refuse_look_alikes(root: Path, place: str, classes: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in sorted(classes):
        if (first := seen.setdefault(_normalised(name), name)) != name:
            _refuse(root, f"has the classes {first!a} and {name!a} in {place or 'it'}: {_ALIKE}")


def _normalised(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _modification_time(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return -1


def _refuse(root: Path, reason: str) -> NoReturn:
    raise UserError(f"image folder {str(root)!r} {reason} (accepted: {_LAYOUT})")
