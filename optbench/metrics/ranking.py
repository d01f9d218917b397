"""The metrics by which a leaderboard can rank, each a column of the runs frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A column of the runs frame; `better` is `lower`, `higher`, or `problem` if it depends on the problem."""

    better: str
    meaning: str


METRICS = {
    "test_metric": Metric("problem", "the problem's metric on the test set, after the last step"),
    "test_loss": Metric("lower", "loss on the test set, after the last step"),
    "valid_metric": Metric("problem", "the problem's metric on the validation set, after the last step"),
    "valid_loss": Metric("lower", "loss on the validation set, after the last step; the selection criterion of tuning"),
    "train_loss": Metric("lower", "loss on a fixed sample of the training set, after the last step"),
    "cost_to_target": Metric("lower", "example gradients until the validation metric first meets the target"),
    "seconds_to_target": Metric(
        "lower",
        "seconds until the validation metric first meets the target, at the cell's step time measured in isolation",
    ),
}


def name_metric(metric: str, metric_name: str = "metric") -> str:
    """Returns a metric in words, such as `test accuracy`.

    Args:
        metric: One of `METRICS`.
        metric_name: The name of the problem's own metric.
    """
    kind, _, what = metric.partition("_")
    return f"{kind} {metric_name}" if what == "metric" else metric.replace("_", " ")


def higher_is_better(metric: str, metric_higher_is_better: bool) -> bool:
    """Returns whether higher values of a metric are better.

    Args:
        metric: One of `METRICS`.
        metric_higher_is_better: Whether higher is better for the problem's own metric.
    """
    better = METRICS[metric].better
    return metric_higher_is_better if better == "problem" else better == "higher"
