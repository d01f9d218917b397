"""A dead worker or a time limit is no result of the optimizer; an error of its own, or divergence, is."""

from __future__ import annotations

import pytest

from optbench.metrics.leaderboard import leaderboard, summary
from optbench.metrics.recommendation import recommendation
from optbench.metrics.verdicts import verdicts
from optbench.reporting.header import banners
from optbench.runner.last_words import LostWorker, describe_loss
from tests.support.studies import Study, study

LOSSES = [1.0 + 0.01 * seed for seed in range(12)]
DIED = describe_loss(LostWorker("", -9))


def broken(status: str, error: str, lost: int = 12) -> Study:
    """Adam ended everywhere; the last `lost` seeds of sgd have the status of its cell, as frames have them."""
    found = study({"adam": LOSSES, "sgd": [0.5 * loss for loss in LOSSES]})
    own = (found.runs["optimizer"] == "sgd") & (found.runs["seed"] >= 12 - lost)
    found.runs.loc[own, ["status", "error"]] = [status, error]
    found.runs.loc[own, ["train_loss", "valid_loss", "valid_metric", "test_loss", "test_metric"]] = float("nan")
    found.cells.loc[found.cells["optimizer"] == "sgd", ["status", "error"]] = [status, error]
    return found


@pytest.mark.parametrize(("status", "error"), [("error", DIED), ("timeout", "not done within 5 s")])
def test_a_lost_cell_is_missing_and_this_is_said(status: str, error: str) -> None:
    found = broken(status, error)
    judged = verdicts(found.runs, found.cells, "adam")
    assert judged["verdict"].tolist() == ["inconclusive"]
    assert judged["note"].tolist() == ["its cell failed for a technical reason, and no seed was run"]
    assert judged["p"].isna().all()
    board = leaderboard(found.runs, found.cells).set_index("optimizer")
    assert board["rank"].isna().to_dict() == {"adam": False, "sgd": True}
    assert board["status"].to_dict() == {"adam": "ok", "sgd": status}
    assert any(text.startswith("Technical failures: 1 cell failed") for text in banners(found.cells, found.runs))
    table = recommendation(found.trials, found.runs, found.cells).query("scope == 'all tasks' and trials == 3")
    assert set(table["rests_on"]) == {"fresh seeds"}
    assert table["sentence"].iloc[0].endswith("Cannot be judged: sgd.")


def test_seeds_that_ended_before_count() -> None:
    found = broken("error", DIED, lost=2)
    judged = verdicts(found.runs, found.cells, "adam")
    assert judged[["verdict", "n_pairs", "n_failed"]].to_numpy().tolist() == [["win", 10, 0]]


@pytest.mark.parametrize(
    ("status", "error"), [("error", "ArithmeticError: no step today"), ("oom", "out of memory"), ("diverged", "")]
)
def test_failures_of_its_own_count_as_worst(status: str, error: str) -> None:
    found = broken(status, error)
    judged = verdicts(found.runs, found.cells, "adam")
    assert judged[["verdict", "n_pairs", "n_failed"]].to_numpy().tolist() == [["loss", 12, 12]]
    board = leaderboard(found.runs, found.cells).set_index("optimizer")
    assert board["rank"].to_dict() == {"adam": 1, "sgd": 2}
    assert not any("Technical failures" in text for text in banners(found.cells, found.runs))


def test_who_failed_everywhere_is_best_nowhere() -> None:
    found = study({"adam": [None] * 3})
    board = leaderboard(found.runs, found.cells)
    assert summary(board)["best_in"].tolist() == [0]
    one = study({"adam": [1.0, None, 1.0]})
    assert summary(leaderboard(one.runs, one.cells))["best_in"].tolist() == [1]
