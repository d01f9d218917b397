"""optbench: which optimizer trains a problem best for the same compute, and how sure one can be.

Everything that the command line does is a function here; heavy imports wait for their first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optbench.api import check, compare, experiment, figure, plan, recommend, report, run
    from optbench.config import Config, load_config
    from optbench.declare import optimizer
    from optbench.errors import UserError
    from optbench.problem import Data, DataSource, Plane, Problem
    from optbench.problems.plane_functions import PlaneFunction
    from optbench.ranges import Choices, Range
    from optbench.results.load import Results, load
    from optbench.spec import OptimizerSpec

_HOME = {
    "Choices": "ranges", "Config": "config", "Data": "problem", "DataSource": "problem", "OptimizerSpec": "spec",
    "Plane": "problem", "PlaneFunction": "problems.plane_functions", "Problem": "problem", "Range": "ranges",
    "Results": "results.load", "UserError": "errors", "check": "api", "compare": "api", "experiment": "api",
    "figure": "api", "load": "results.load", "load_config": "config", "optimizer": "declare", "plan": "api",
    "recommend": "api", "report": "api", "run": "api",
}  # fmt: skip

__all__ = [
    "Choices", "Config", "Data", "DataSource", "OptimizerSpec", "Plane", "PlaneFunction", "Problem", "Range",
    "Results", "UserError", "check", "compare", "experiment", "figure", "load", "load_config", "optimizer", "plan",
    "recommend", "report", "run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'optbench' has no attribute {name!r}")
    value = getattr(import_module(f"optbench.{_HOME[name]}"), name)
    # `optbench.plan` is the function, also after the module of that name was imported.
    globals()[name] = value
    return value
