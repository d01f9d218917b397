"""Scores between the start and the target of each problem."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.normalised import normalise_scores, select_common_tasks
from tests.support.studies import study


def scores(values: list[float | None], **options: object) -> list[float]:
    frames = study({"adam": values}, **options)
    return normalise_scores(frames.runs, frames.curves, frames.cells)["score"].tolist()


def test_a_loss_is_on_a_logarithmic_scale() -> None:
    """Start 10, target 0.1: one is half of the way; failures, and ends worse than the start, are none of it."""
    found = scores([10.0, 1.0, 0.1, 0.01, 1e-9, 0.0, 20.0, None])
    assert found == pytest.approx([0, 0.5, 1, 1.5, 2, 2, 0, 0])


def test_a_metric_of_which_more_is_better_is_on_a_linear_scale() -> None:
    assert scores([0.1, 0.5, 0.9, 1.0, 0.05, None], higher=True) == pytest.approx([0, 0.5, 1, 1.125, 0, 0])


def test_losses_that_can_be_negative_are_on_a_linear_scale() -> None:
    assert scores([10.0, 0.0, -10.0], target=-10.0, start=10.0) == pytest.approx([0, 0.5, 1])


def test_without_a_target_or_a_start_there_is_no_score() -> None:
    assert np.isnan(scores([1.0, None], target=math.nan)).all()
    frames = study({"adam": [1.0]})
    assert normalise_scores(frames.runs, frames.curves.query("step > 0"), frames.cells)["score"].isna().all()


def test_another_optimizer_changes_no_score() -> None:
    alone = study({"adam": [1.0, 0.5]})
    both = study({"adam": [1.0, 0.5], "best": [1e-6, 1e-7]})
    found = normalise_scores(both.runs, both.curves, both.cells).query("optimizer == 'adam'")["score"]
    assert found.tolist() == normalise_scores(alone.runs, alone.curves, alone.cells)["score"].tolist()


def test_only_what_all_have_run_is_common() -> None:
    outcomes = {
        ("a", 10, "adam"): [1.0, 0.5, 0.1], ("a", 10, "sgd"): [1.0, 0.9],
        ("a", 20, "adam"): [0.1, 0.2, 0.3], ("a", 20, "sgd"): [0.2, 0.3, 0.4],
        ("b", 10, "adam"): [1.0, 0.5], ("c", 10, "adam"): [1.0], ("c", 10, "sgd"): [2.0],
    }  # fmt: skip
    frames = study(outcomes)
    frames.cells.loc[frames.cells["problem"] == "c", "target"] = math.nan
    common = select_common_tasks(frames.runs, frames.curves, frames.cells)
    assert common.optimizers == ["adam", "sgd"]
    [a] = common.strata
    np.testing.assert_allclose(a, 0.5 - 0.5 * np.log10([[[1.0, 0.5], [0.1, 0.2]], [[1.0, 0.9], [0.2, 0.3]]]))
    assert common.ranks.to_numpy().tolist() == [[1, 2], [1, 2]]
    assert "b has no seed that all optimizers have run" in common.note
    assert "c has no target" in common.note
    nothing = select_common_tasks(frames.runs.iloc[:0], frames.curves, frames.cells)
    assert (nothing.strata, nothing.optimizers) == ([], [])


def test_a_task_that_one_hasnt_run_costs_only_itself() -> None:
    outcomes = {("a", batch, name): [0.5, 0.6] for batch in (10, 20) for name in ("adam", "sgd")}
    del outcomes["a", 20, "sgd"]
    frames = study(outcomes)
    common = select_common_tasks(frames.runs, frames.curves, frames.cells)
    assert common.strata[0].shape == (2, 1, 2)
    assert common.note == "1 of 2 tasks are not run by all optimizers"
    assert isinstance(common.ranks, pd.DataFrame)
