"""What authors of problems need: the contract, its data, and how problems are found by name."""

from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource, Plane

__all__ = ["Batch", "Data", "DataSource", "Plane", "Problem"]
