"""How a plan is computed, and what of it makes no sense."""

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
    """How a plan is computed; nothing here changes a figure."""

    source: DataSource
    engine: str = "processes"
    workers: int | None = None
    retry_failed: bool = False
    fresh: bool = False
    #: With engine `dask`: the address of a scheduler whose workers compute; without one, workers of this machine do.
    scheduler: str | None = None
    #: Seconds that a cell may take; then its worker is killed.
    cell_timeout: float | None = None
    #: Stored results that the directory remembers as those it was run against.
    against: Path | None = None
    #: Records that are there are known to be as they were written, and need not be read to see that.
    intact: bool = False

    @property
    def elsewhere(self) -> bool:
        """Whether the workers of a scheduler compute, whose devices need not be here."""
        return self.scheduler is not None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.engine == "dask" and find_spec("distributed") is None:
            raise UserError("engine 'dask' needs the extra `scale`: pip install 'optbench[scale]'")
        if self.scheduler is not None and self.engine != "dask":
            raise UserError(f"a scheduler is for engine 'dask' only (given: engine {self.engine!r})")
        if self.workers is not None and self.workers < 1:
            raise out_of_range("workers", self.workers, "at least 1")
        if self.cell_timeout is not None and not 0 < self.cell_timeout < math.inf:
            raise out_of_range("cell timeout", self.cell_timeout, "seconds above 0")
        if self.cell_timeout is not None and self.engine != "processes":
            raise UserError(
                f"a cell timeout is for engine 'processes' only, which can kill a worker (given: {self.engine!r})"
            )
