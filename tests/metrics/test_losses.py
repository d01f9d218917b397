"""What seeds are compared by: signs, failures, and copies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optbench.errors import UserError
from optbench.metrics import losses
from tests.support.frames import DIVERGED, make
from tests.support.studies import study


def test_lower_is_better_whatever_the_metric() -> None:
    frames = make()
    found = losses.seed_losses(frames.runs, frames.cells).set_index(["problem", "batch_size", "optimizer", "seed"])
    for row in frames.runs[frames.runs["tuned"]].to_dict("records"):
        loss = found.loc[(row["problem"], row["batch_size"], row["optimizer"], row["seed"]), "loss"]
        if row["status"] != "ok":
            assert loss == math.inf
        else:
            assert loss == (row["test_metric"] if row["problem"] == "quadratic_valley" else -row["test_metric"])
    assert np.isinf(found["loss"]).sum() == len(DIVERGED)


def test_advantage() -> None:
    mine, other = np.array([1.0, np.inf, np.inf, 2.0, 0.0, 0.0]), np.array([2.0, 1.0, np.inf, np.inf, 0.0, 1.0])
    np.testing.assert_array_equal(
        losses.advantage(mine, other, ratio=True), [math.log(2), -np.inf, 0, np.inf, 0, np.inf]
    )
    np.testing.assert_array_equal(losses.advantage(mine, other, ratio=False), [1, -np.inf, 0, np.inf, 0, 1])
    accuracy = np.array([0.9764309, 0.9764310])
    assert losses.advantage(accuracy[:1], accuracy[1:], ratio=False) == 0, "the same in single precision"
    assert losses.advantage(np.array([1e-12]), np.array([2e-12]), ratio=True) == pytest.approx(math.log(2))
    assert losses.uses_ratios(np.array([0.0, np.inf, 2.0]))
    assert not losses.uses_ratios(np.array([-0.1, 2.0]))
    assert not losses.uses_ratios(np.array([np.inf]))


def test_medians_count_failures_as_worst() -> None:
    found = losses.medians(losses.seed_losses(*_frames({"a": [1.0, 2.0, None], "b": [1.0, None], "c": [None] * 3})))
    assert found["loss"].tolist() == [2.0, math.inf, math.inf]


def test_ranks_share_the_mean_of_ties() -> None:
    found = losses.task_ranks(losses.seed_losses(*_frames({"a": [1.0], "b": [0.5], "c": [1.0], "d": [None]})))
    assert dict(zip(found["optimizer"], found["rank"], strict=True)) == {"a": 2.5, "b": 1, "c": 2.5, "d": 4}


def test_copies_are_known_by_every_bit() -> None:
    frames = study({"a": [1.0, 1.0, 2.0, None]})
    assert losses.seed_losses(frames.runs, frames.cells)["copy_of"].tolist() == [0, 1, 2, 3], "train_loss differs"
    frames.runs["train_loss"] = frames.runs["test_loss"]
    assert losses.seed_losses(frames.runs, frames.cells)["copy_of"].tolist() == [0, 0, 2, 3]


def test_what_other_schema_versions_lack_is_named() -> None:
    runs, cells = _frames({"a": [1.0]})
    with pytest.raises(UserError, match="the frame runs has no column 'test_loss'"):
        losses.seed_losses(runs.drop(columns=["test_loss", "status"]).assign(status="ok"), cells)
    with pytest.raises(UserError, match="the frame cells has no column 'target'"):
        losses.seed_losses(runs, cells.drop(columns="target"))


def _frames(outcomes: dict) -> tuple:
    frames = study(outcomes)
    return frames.runs, frames.cells
