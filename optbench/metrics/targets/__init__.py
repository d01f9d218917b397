"""Targets of times: frozen, versioned, several a problem, never taken from the runs that are compared."""

from optbench.metrics.targets.frozen import targets_of

__all__ = ["targets_of"]
