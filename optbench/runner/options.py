"""Options of a run, with their validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from optbench.errors import UserError, out_of_range, unknown
from optbench.problem.data import DataSource
from optbench.runner.engines import ENGINES


@dataclass(frozen=True)
class RunOptions:
    """How a plan is computed. No option changes the numbers in the results.

    Raises:
        UserError: Options that are invalid or contradict each other.
    """

    source: DataSource
    engine: str = "processes"
    workers: int | None = None
    retry_failed: bool = False
    fresh: bool = False
    #: Address of a running Dask scheduler (engine `dask`); without one, workers are started on this machine.
    scheduler: str | None = None
    #: Time limit per cell in seconds, after which its worker is killed.
    cell_timeout: float | None = None
    #: Stored results that the run is compared with; the results directory stores their location.
    against: Path | None = None
    #: Whether the stored records are known to be undamaged, so that their checksums need not be verified.
    intact: bool = False

    @property
    def elsewhere(self) -> bool:
        """Whether the workers of a running scheduler compute; their devices may differ from those of this machine."""
        return self.scheduler is not None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.engine == "dask" and find_spec("distributed") is None:
            raise UserError("engine 'dask' needs the extra `scale`: pip install 'optbench[scale]'")
        if self.scheduler is not None and self.engine != "dask":
            raise UserError(f"a scheduler requires engine 'dask' (given: engine {self.engine!r})")
        if self.workers is not None and self.workers < 1:
            raise out_of_range("workers", self.workers, "at least 1")
        if self.cell_timeout is not None and not 0 < self.cell_timeout < math.inf:
            raise out_of_range("cell timeout", self.cell_timeout, "seconds above 0")
        if self.cell_timeout is not None and self.engine != "processes":
            raise UserError(
                f"a cell timeout requires engine 'processes', which can stop a worker (given: engine {self.engine!r})"
            )
