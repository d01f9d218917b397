"""The command line `optbench VERB`."""

from optbench.cli.verbs import main

__all__ = ["main"]
