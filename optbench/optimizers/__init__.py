"""What authors of optimizers need: their declaration, search spaces, and how optimizers are found by name."""

from optbench.optimizers.decorator import optimizer
from optbench.optimizers.search_space import Choices, Range
from optbench.optimizers.spec import OptimizerSpec

__all__ = ["Choices", "OptimizerSpec", "Range", "optimizer"]
