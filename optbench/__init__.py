"""optbench: compare neural-network optimizers at equal compute, with statistics that support a conclusion.

The functions of this package do everything that the command line does. Heavy modules are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from optbench.api import check, compare, figure, plan, recommend, report, run, tiers
    from optbench.config.load import load_config
    from optbench.config.schema import Config
    from optbench.errors import UserError
    from optbench.experiments.conduct import experiment
    from optbench.optimizers.decorator import optimizer
    from optbench.optimizers.search_space import Choices, Range
    from optbench.optimizers.spec import OptimizerSpec
    from optbench.problem.base import Problem
    from optbench.problem.data import Data, DataSource, Plane
    from optbench.problems.plane_functions import PlaneFunction
    from optbench.results.load import Results, load

_HOME = {
    "Choices": "optimizers.search_space", "Config": "config.schema", "Data": "problem.data",
    "DataSource": "problem.data", "OptimizerSpec": "optimizers.spec", "Plane": "problem.data",
    "PlaneFunction": "problems.plane_functions", "Problem": "problem.base", "Range": "optimizers.search_space",
    "Results": "results.load", "UserError": "errors", "check": "api", "compare": "api",
    "experiment": "experiments.conduct", "figure": "api", "load": "api", "load_config": "config.load",
    "optimizer": "optimizers.decorator", "plan": "api", "recommend": "api", "report": "api", "run": "api",
    "tiers": "api",
}  # fmt: skip

__all__ = [
    "Choices", "Config", "Data", "DataSource", "OptimizerSpec", "Plane", "PlaneFunction", "Problem", "Range",
    "Results", "UserError", "check", "compare", "experiment", "figure", "load", "load_config", "optimizer", "plan",
    "recommend", "report", "run", "tiers",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("optbench")
    if name not in _HOME:
        raise AttributeError(f"module 'optbench' has no attribute {name!r}")
    value = getattr(import_module(f"optbench.{_HOME[name]}"), name)
    # Bind the name, so that `optbench.plan` remains the function even if a module of that name is imported.
    globals()[name] = value
    return value
