"""Metrics: what is measured of runs, each a module with one function from frames to a frame.

Only the names that rankings go by are imported here: the command line needs them before pandas is.
"""

from optbench.metrics.ranking import METRICS, Metric, higher_is_better

__all__ = ["METRICS", "Metric", "higher_is_better"]
