"""The figures by which a leaderboard can rank, each a column of the runs frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A column of the runs frame. `better` is `lower`, `higher`, or `problem` where the problem says."""

    better: str
    meaning: str


METRICS = {
    "test_metric": Metric("problem", "the problem's metric on the test set, after the last step"),
    "test_loss": Metric("lower", "loss on the test set, after the last step"),
    "valid_metric": Metric("problem", "the problem's metric on the validation set, after the last step"),
    "valid_loss": Metric("lower", "loss on the validation set, after the last step; what tuning selects by"),
    "train_loss": Metric("lower", "loss on a fixed sample of the training set, after the last step"),
    "cost_to_target": Metric("lower", "example gradients until the validation metric first met the target"),
    "seconds_to_target": Metric("lower", "the same in seconds, at the cell's speed measured in isolation"),
}


def higher_is_better(metric: str, problem_says: bool) -> bool:
    """The direction of a metric, given that of the problem's own metric."""
    better = METRICS[metric].better
    return problem_says if better == "problem" else better == "higher"
