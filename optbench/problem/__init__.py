"""The author API of problems: the base class, its data, and the registry."""

from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource, Plane

__all__ = ["Batch", "Data", "DataSource", "Plane", "Problem"]
