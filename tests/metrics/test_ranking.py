"""The metrics that a leaderboard ranks by: columns of the runs frame, with a direction."""

from __future__ import annotations

import pytest

from optbench.metrics import METRICS, higher_is_better
from optbench.results.frames import RUNS


def test_every_metric_is_a_column_of_the_runs() -> None:
    assert set(METRICS) <= set(RUNS)
    assert {metric.better for metric in METRICS.values()} <= {"lower", "higher", "problem"}
    assert all(metric.meaning for metric in METRICS.values())


@pytest.mark.parametrize("metric_higher_is_better", [True, False])
def test_the_problem_decides_on_its_own_metric_only(metric_higher_is_better: bool) -> None:
    assert higher_is_better("test_metric", metric_higher_is_better) is metric_higher_is_better
    assert higher_is_better("valid_metric", metric_higher_is_better) is metric_higher_is_better
    for name in ("test_loss", "valid_loss", "train_loss", "cost_to_target", "seconds_to_target"):
        assert higher_is_better(name, metric_higher_is_better) is False
