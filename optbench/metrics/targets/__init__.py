"""Targets for times to target: frozen, versioned, several per problem, independent of the compared runs."""

from optbench.metrics.targets.frozen import list_targets

__all__ = ["list_targets"]
