"""Frozen results: the parts of a results directory that comparisons need, in a few small files without timings.

about.json  runs.parquet  trials.parquet  studies.parquet  curves.parquet  cells.parquet  trajectories.parquet
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from optbench.config.load import parse_config
from optbench.config.schema import Config
from optbench.errors import UserError
from optbench.results.directory import ABOUT
from optbench.results.load import Results, load

#: Version of the format of about.json. 1: first version.
FORMAT = 1
_ABOUT_FIELDS = {
    "made": str, "optbench": str, "version": str, "config": str, "plan": dict, "environments": dict, "identities": dict,
    "planes": dict, "files": dict,
}  # fmt: skip
FRAMES = ("runs", "trials", "studies", "curves", "cells", "trajectories")


class FrozenResults:
    """Frozen results as an object with the frames of `Results`; all timings are missing.

    Args:
        folder: A folder with about.json and the frames as parquet files.

    Raises:
        UserError: The folder holds no frozen results of the present format, or a file does not match its digest.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = self.folder.name
        try:
            about = json.loads((self.folder / ABOUT).read_bytes())
            version = about["format"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{self.folder} holds no frozen results ({ABOUT} is missing or invalid)") from None
        if version != FORMAT:
            raise UserError(f"frozen results {self.folder} have unknown format {version!r} (accepted: {FORMAT})")
        missing = [name for name, kind in sorted(_ABOUT_FIELDS.items()) if not isinstance(about.get(name), kind)]
        if missing or not all(isinstance(about["plan"].get(name), list) for name in ("cells", "seeds")):
            missing = missing or ["the cells or seeds of its plan"]
            raise UserError(
                f"{ABOUT} of frozen results {self.folder} lacks {', '.join(missing)}; create or install them again"
            )
        for name in FRAMES:
            self._check(name, about["files"])
        #: Content of about.json: `made` (date), `optbench`, `version`, `config` (TOML), and the attributes below.
        self.about: dict[str, Any] = about
        self.plan: dict[str, Any] = about["plan"]
        self.environments: dict[str, Any] = about["environments"]
        self.identities: dict[str, Any] = about["identities"]
        self.planes: dict[str, Any] = about["planes"]
        #: The machines that timed the cells: frozen results have no times.
        self.machines: list[str] = []
        #: Sentences on damaged files: frozen files are read whole or not at all.
        self.damage: dict[str, str] = {}
        #: As in `Results`: all frozen cells are compared.
        self.not_compared = ""
        #: Sentences for readers about cells that are left out.
        self.warnings: list[str] = []

    @cached_property
    def _frames(self) -> dict[str, pd.DataFrame]:
        return {name: pd.read_parquet(self._path(name)) for name in FRAMES}

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def _check(self, name: str, digests: dict[str, str]) -> None:
        path = self._path(name)
        try:
            intact = hashlib.sha256(path.read_bytes()).hexdigest() == digests[name]
        except (OSError, KeyError, TypeError):
            intact = False
        if not intact:
            raise UserError(f"frozen file {path} is missing or damaged; create or install the frozen results again")

    def config(self) -> Config:
        """Returns the configuration that computed the results.

        Raises:
            UserError: The configuration is invalid.
        """
        return parse_config(self.about["config"], str(self.folder / ABOUT))

    def drop_cells(self, cells: Collection[str], reasons: Sequence[str]) -> FrozenResults:
        """Returns a copy without some cells.

        Args:
            cells: Ids of the cells to leave out.
            reasons: Sentences that explain why, added to `warnings`.
        """
        remaining = copy(self)
        remaining.warnings = [*self.warnings, *reasons]
        remaining.plan = {**self.plan, "cells": [cell for cell in self.plan["cells"] if cell["cell_id"] not in cells]}
        frames = {name: frame[~frame["cell_id"].isin(cells)] for name, frame in self._frames.items()}
        remaining.__dict__["_frames"] = frames
        return remaining

    @property
    def runs(self) -> pd.DataFrame:
        """See `Results.runs`."""
        return self._frames["runs"]

    @property
    def trials(self) -> pd.DataFrame:
        """See `Results.trials`."""
        return self._frames["trials"]

    @property
    def studies(self) -> pd.DataFrame:
        """See `Results.studies`."""
        return self._frames["studies"]

    @property
    def curves(self) -> pd.DataFrame:
        """See `Results.curves`."""
        return self._frames["curves"]

    @property
    def cells(self) -> pd.DataFrame:
        """See `Results.cells`."""
        return self._frames["cells"]

    @property
    def trajectories(self) -> pd.DataFrame:
        """See `Results.trajectories`."""
        return self._frames["trajectories"]


def open_results(folder: str | Path) -> Results | FrozenResults:
    """Opens a results directory or frozen results.

    Raises:
        UserError: `folder` is neither.
    """
    return FrozenResults(folder) if (Path(folder) / ABOUT).exists() else load(folder)
