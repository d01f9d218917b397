"""The job that is submitted to an engine: a cell, and where and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass

from optbench.planning.matrix import Cell
from optbench.problem.data import DataSource
from optbench.results.directory import ResultsDirectory


@dataclass(frozen=True)
class Job:
    """A cell to compute or to time."""

    cell: Cell
    seeds: tuple[int, ...]
    directory: ResultsDirectory
    source: DataSource
    #: Key of the environment in which the cell is computed.
    environment: str
    #: Number of earlier attempts whose worker was lost.
    attempt: int = 0
    #: Number of tunings of the cell; the first one chooses the hyperparameters.
    studies: int = 1

    @property
    def name(self) -> str:
        """The name of the cell in messages."""
        return " × ".join(map(str, self.cell.key[:3]))
