"""Frozen results: what a comparison needs of a results directory, in a few small files without timings.

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

#: 1: first version.
FORMAT = 1
_SAID = {
    "made": str, "optbench": str, "version": str, "config": str, "plan": dict, "environments": dict, "identities": dict,
    "planes": dict, "files": dict,
}  # fmt: skip
FRAMES = ("runs", "trials", "studies", "curves", "cells", "trajectories")


class Frozen:
    """Frozen results, with the frames of `Results`; timings in them are missing.

    Raises UserError where the folder holds none of the present format, and where one of its files isn't the one that
    was written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = self.folder.name
        try:
            about = json.loads((self.folder / ABOUT).read_bytes())
            found = about["format"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{self.folder} holds no frozen results (it has no proper {ABOUT})") from None
        if found != FORMAT:
            raise UserError(f"frozen results {self.folder} have format {found!r} (accepted: {FORMAT})")
        missing = [name for name, kind in sorted(_SAID.items()) if not isinstance(about.get(name), kind)]
        if missing or not all(isinstance(about["plan"].get(name), list) for name in ("cells", "seeds")):
            missing = missing or ["cells or seeds of its plan"]
            raise UserError(
                f"frozen results {self.folder}: {ABOUT} lacks {', '.join(missing)}; make or install them again"
            )
        for name in FRAMES:
            self._check(name, about["files"])
        #: `made`, `optbench`, `version`, `config` (TOML) and what the properties give.
        self.about: dict[str, Any] = about
        self.plan: dict[str, Any] = about["plan"]
        self.environments: dict[str, Any] = about["environments"]
        self.identities: dict[str, Any] = about["identities"]
        self.planes: dict[str, Any] = about["planes"]
        #: What a reader has to know of what is left out.
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
            raise UserError(f"{path} isn't the file that was frozen (missing or damaged); make or install it again")

    def config(self) -> Config:
        """The configuration that they were computed with. Raises UserError where it is none."""
        return parse_config(self.about["config"], str(self.folder / ABOUT))

    def without(self, cells: Collection[str], why: Sequence[str]) -> Frozen:
        """The same without the cells of these ids, and why that is."""
        fewer = copy(self)
        fewer.warnings = [*self.warnings, *why]
        fewer.plan = {**self.plan, "cells": [cell for cell in self.plan["cells"] if cell["cell_id"] not in cells]}
        fewer.__dict__["_frames"] = {name: frame[~frame["cell_id"].isin(cells)] for name, frame in self._frames.items()}
        return fewer

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


def opened(folder: str | Path) -> Results | Frozen:
    """A results directory, or frozen results; raises UserError where it is neither."""
    return Frozen(folder) if (Path(folder) / ABOUT).exists() else load(folder)
