"""Metrics: each module has one function from frames to a frame.

Only the names of the ranking metrics are imported here: the command line needs them before pandas is loaded.
"""

from optbench.metrics.ranking import METRICS, Metric, higher_is_better

__all__ = ["METRICS", "Metric", "higher_is_better"]
