"""The metrics that a leaderboard ranks by: columns of the runs frame, with a direction."""

from __future__ import annotations

import pytest

from optbench.metrics import METRICS, higher_is_better
from optbench.results.frames import RUNS


def test_every_metric_is_a_column_of_the_runs() -> None:
    assert set(METRICS) <= set(RUNS)
    assert {metric.better for metric in METRICS.values()} <= {"lower", "higher", "problem"}
    assert all(metric.meaning for metric in METRICS.values())


@pytest.mark.parametrize("problem_says", [True, False])
def test_the_problem_decides_on_its_own_metric_only(problem_says: bool) -> None:
    assert higher_is_better("test_metric", problem_says) is problem_says
    assert higher_is_better("valid_metric", problem_says) is problem_says
    for name in ("test_loss", "valid_loss", "train_loss", "cost_to_target", "seconds_to_target"):
        assert higher_is_better(name, problem_says) is False
