"""The interface of results that tables, plots and pages use: of a results directory, frozen results or joined ones.

A *task* is a problem with a batch size, a device and a schedule: optimizers are compared on tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

#: The columns that identify a task.
GROUP = ["problem", "batch_size", "device", "schedule"]
#: The columns that identify a cell.
CELL = [*GROUP, "optimizer"]
#: The beginning of the error of a cell whose worker process ended.
LOST_WORKER = "the worker process died"
#: Status of a trial of a race that was paused and not continued. Its loss is that at the pause.
STOPPED = "stopped"


class StoredResults(Protocol):
    """Flat frames, whose columns are listed in docs/design.md, section 4. They are read-only."""

    @property
    def runs(self) -> pd.DataFrame:
        """One row per final run: tuned and untuned, on fresh seeds."""

    @property
    def trials(self) -> pd.DataFrame:
        """One row per training of the tuning."""

    @property
    def studies(self) -> pd.DataFrame:
        """One row per training of repeated tunings (study 1, 2, …), which do not choose the learning rate."""

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
        """By problem label: start, minimum, domain and grid values of two-dimensional problems."""

    @property
    def machines(self) -> Sequence[str]:
        """The machines that timed the cells; if there are several, the frames have no times."""

    @property
    def environments(self) -> dict[str, Any]:
        """By key: the hardware and versions that computed the cells."""

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences that a reader needs before comparing results."""
