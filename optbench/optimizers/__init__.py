"""The author API of optimizers: specs, the decorator `optimizer`, search spaces, and the registry."""

from optbench.optimizers.decorator import optimizer
from optbench.optimizers.search_space import Choices, Range
from optbench.optimizers.spec import OptimizerSpec

__all__ = ["Choices", "OptimizerSpec", "Range", "optimizer"]
