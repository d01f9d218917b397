"""What is submitted to an engine: a cell with everything that decides how, not what, it computes."""

from __future__ import annotations

from dataclasses import dataclass

from optbench.planning.matrix import Cell
from optbench.problem.data import DataSource
from optbench.results.directory import ResultsDirectory


@dataclass(frozen=True)
class Job:
    """A cell to compute, or to time, with its seeds and where everything is."""

    cell: Cell
    seeds: tuple[int, ...]
    directory: ResultsDirectory
    source: DataSource
    #: The key of the environment in which it is computed.
    environment: str
    #: How often its worker was lost before.
    attempt: int = 0
    #: Tunings of the cell, of which the first decides.
    studies: int = 1

    @property
    def name(self) -> str:
        """The cell as messages call it."""
        return " × ".join(map(str, self.cell.key[:3]))
