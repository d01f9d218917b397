"""What tables, plots and pages are made of: the frames of a results directory, of frozen results or of several joined.

A *task* is what optimizers are compared on: a problem with a batch size, a device and a schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

#: The columns that name a task.
GROUP = ["problem", "batch_size", "device", "schedule"]
#: The columns that name a cell.
CELL = [*GROUP, "optimizer"]


class StoredResults(Protocol):
    """Flat frames, whose columns docs/design.md lists in section 4. Nothing here is written to."""

    @property
    def runs(self) -> pd.DataFrame:
        """One row per final run: tuned and untuned, on fresh seeds."""

    @property
    def trials(self) -> pd.DataFrame:
        """One row per training of the tuning."""

    @property
    def studies(self) -> pd.DataFrame:
        """One row per training of repeated tunings (study 1, 2, …), which decide nothing."""

    @property
    def curves(self) -> pd.DataFrame:
        """One row per evaluation of a trial or run."""

    @property
    def cells(self) -> pd.DataFrame:
        """One row per cell of the matrix, finished or not."""

    @property
    def trajectories(self) -> pd.DataFrame:
        """One row per step of a run on a two-dimensional problem (thinned)."""

    @property
    def planes(self) -> dict[str, Any]:
        """By problem label: start, minimum, domain and values on a grid of two-dimensional problems."""

    @property
    def warnings(self) -> Sequence[str]:
        """What a reader has to know before comparing anything."""
