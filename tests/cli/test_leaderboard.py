"""The short leaderboard of `run`: the metric with its range, the tuned rate and the verdict of every optimizer."""

from __future__ import annotations

import pandas as pd
import pytest

from optbench.cli.leaderboard import format_leaderboard
from optbench.metrics.leaderboard import leaderboard, summary
from optbench.metrics.verdicts import verdicts
from tests.support.studies import Study, study


def text_of(found: Study) -> list[str]:
    board = leaderboard(found.runs, found.cells)
    judged = verdicts(found.runs, found.cells)
    return format_leaderboard(board, judged, found.cells, summary(board)).splitlines()


def test_a_task_has_metric_range_rate_and_verdict() -> None:
    better = [0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96]
    found = study({"adam": [value - 0.1 for value in better], "mine": better, "lost": [None] * 7}, higher=True)
    head, names, *rows = text_of(found)
    assert head == "bowl: test metric, median [lowest, highest] over seeds; verdicts against adam by test_metric"
    assert names.split() == ["optimizer", "batch", "rank", "metric", "lr", "verdict", "seeds", "ok"]
    assert [" ".join(row.split()) for row in rows] == [
        "mine 10 1 0.9300 [0.9000, 0.9600] 0.01 win 7 of 7",
        "adam 10 2 0.8300 [0.8000, 0.8600] 0.01 reference 7 of 7",
        "lost 10 3 failed 0.01 loss 0 of 7",
    ]


def test_several_tasks_have_the_best_cells_and_the_ranks() -> None:
    found = study({("a", 10, "adam"): [2.0, 2.1], ("a", 40, "adam"): [1.0, 1.1], ("a", 10, "sgd"): [3.0, 3.1],
                   ("b", 10, "adam"): [0.5, 0.6]})  # fmt: skip
    lines = text_of(found)
    rows = [" ".join(line.split()) for line in lines]
    assert (
        "a: test metric, median [lowest, highest] over seeds, each optimizer at its best batch size; verdicts"
        in (lines[0])
    )
    assert "adam 40 1 1.050 [1.000, 1.100] 0.01 reference 2 of 2" in rows
    assert "sgd 10 2 3.050 [3.000, 3.100] 0.01 inconclusive 2 of 2" in rows
    assert "b: test metric, median [lowest, highest] over seeds" in lines, "alone, nothing is judged"
    assert any(row.startswith("optimizer mean_rank median_rank") for row in rows)


def test_a_missing_metric_is_no_failure() -> None:
    found = study({"adam": [1.0, 1.1], "sgd": [2.0, 2.1]})
    found.runs.loc[found.runs["optimizer"] == "sgd", "test_metric"] = float("nan")
    assert [" ".join(row.split()) for row in text_of(found)[2:]] == [
        "adam 10 1 1.050 [1.000, 1.100] 0.01 reference 2 of 2",
        "sgd 10 2 – 0.01 inconclusive 2 of 2",
    ]


@pytest.mark.parametrize("others", ["momentum=0.9", ""])
def test_other_hyperparameters_are_shown_if_there_are_any(others: str) -> None:
    found = study({"adam": [1.0], "heavy": [2.0]})
    found.cells["others_tuned"] = pd.Series(["", others])
    lines = text_of(found)
    assert ("others" in lines[1]) == bool(others)
    assert others in lines[3]
