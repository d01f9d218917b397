"""The base class of problems on images: the source of the images and the size of the validation split."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.errors import unknown
from optbench.problem.base import Problem
from optbench.problem.data import DataSource
from optbench.problem.datasets.folder import Folder, scan
from optbench.problem.datasets.image_file import traits
from optbench.problem.datasets.known import DATASETS
from optbench.problem.datasets.place import base_name, is_path, path_of, shown_name

if TYPE_CHECKING:
    from optbench.problem.datasets.pixels import Pixels

#: One training image of a folder in 10 is used for validation, at most 5,000.
_ONE_VALID_IN, _VALID_AT_MOST = 10, 5_000


@dataclass(frozen=True)
class Images(Problem):
    """A problem on images.

    `data` is one of the names in `named`, or the path of a folder with `train/<class>/…` and `test/<class>/…`. A tenth
    of a folder's training images, at most 5,000, forms the validation split. If a folder has `<class>/…` alone, a fifth
    of each class forms the test split.
    """

    #: The data sets that `data` may name.
    named: ClassVar[tuple[str, ...]]

    data: str = "digits"

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Width and height of the images in pixels."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """1 for grey images, 3 for RGB."""

    def check(self) -> None:
        self._folder()

    def training_examples(self) -> int:
        folder = self._folder()
        return sum(folder.train) - self._valid() if folder else DATASETS[self.data].train - self._valid()

    def identity(self) -> dict[str, Any]:
        parameters, folder = super().identity(), self._folder()
        if folder is None:
            return parameters
        data = {"folder": base_name(self.data), "fingerprint": folder.fingerprint()}
        if any(map(traits, (str(folder.root / name) for name in folder.images))):
            data["revision"] = "upright, composed, scaled by the range"  # these were read otherwise before
        return {**parameters, "data": data}

    def notes(self) -> list[str]:
        """Return a line for each decision about a folder that the user may not expect."""
        folder = self._folder()
        return folder.notes() if folder else []

    def display(self) -> dict[str, Any]:
        shown = super().display()
        if "data" in shown:
            shown["data"] = shown_name(self.data, DATASETS) if self._folder() else str(self.data)
        return shown

    def _pixels(self, source: DataSource) -> Pixels:
        """The images as bytes; raises UserError if they are missing or corrupt."""
        from optbench.problem.datasets import decode, named

        folder = self._folder()
        if folder:
            return decode.read(folder, self.image_size, self.channels)
        return named.read(str(self.data), source, self.image_size)

    def _folder(self) -> Folder | None:
        """The folder that `data` names, or None for a named data set; raises UserError for anything else."""
        if self.data in self.named:
            return None
        path = path_of(self.data)
        if not is_path(self.data) and not path.is_dir():
            accepted = [*self.named, "the path of a folder of images"]
            raise unknown(f"data of {self.name}", self.data, accepted)
        return scan(path)

    def _valid(self) -> int:
        folder = self._folder()
        if folder is None:
            return DATASETS[self.data].valid
        return min(_VALID_AT_MOST, max(1, sum(folder.train) // _ONE_VALID_IN))


@dataclass(frozen=True)
class SmallGreyImages(Images):
    """Grey images for networks without convolutions: scikit-learn's digits at 8 × 8 pixels, all others at 28 × 28."""

    named: ClassVar[tuple[str, ...]] = ("digits", "mnist", "fashion_mnist")
    channels_last: ClassVar[bool] = False

    @property
    def image_size(self) -> int:
        return 8 if self.data == "digits" else 28

    @property
    def channels(self) -> int:
        return 1
