"""Optimizers beyond the ten of the suite."""

from optbench.spec import OptimizerSpec

ZOO: dict[str, OptimizerSpec] = {}
