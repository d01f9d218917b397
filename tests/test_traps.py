"""The known traps of published benchmark suites, each sprung on all tables at once."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.performance_profile import performance_profile
from optbench.metrics.tables import all_tables
from tests.support.frames import PROBLEMS, make
from tests.support.rows import cell_of, curve_of, frame, run_of, trial_of

NAN = math.nan
BUDGET = 100.0


def tables_of(runs: list[dict], trials: list[dict], cells: list[dict]) -> dict[str, pd.DataFrame]:
    """All tables of runs whose metric rises linearly from 0 to its end (a diverged one's to 0.99 before it died)."""
    curves = []
    for run in runs:
        end = run["valid_metric"] if run["status"] == "ok" else 0.99
        curves += curve_of(run, np.linspace(0, end, 9), np.linspace(2.0, 0.5, 9))
    return all_tables(SimpleNamespace(
        runs=frame(runs, "runs"), trials=frame(trials, "trials"), curves=frame(curves, "curves"),
        cells=frame(cells, "cells"), studies=frame([], "studies"),
    ))  # fmt: skip


def pair(adam: list[float | None], sgd: list[float | None]) -> dict[str, pd.DataFrame]:
    """Two optimizers on one problem with target 0.9, whose seeds ended with these metrics; None diverged."""
    cells = [cell_of("adam"), cell_of("sgd")]
    runs = [
        run_of(cell, seed, status="ok" if value is not None else "diverged", cost=BUDGET if value is not None else 20.0,
               valid_metric=NAN if value is None else value, test_metric=NAN if value is None else value,
               test_loss=NAN if value is None else 1 - value, valid_loss=NAN if value is None else 1 - value,
               train_loss=NAN if value is None else 1 - value + seed / 1e6)
        for cell, values in zip(cells, (adam, sgd), strict=True) for seed, value in enumerate(values)
    ]  # fmt: skip
    trials = [trial_of(cell, index, 0.1, 0.5) for cell in cells for index in range(2)]
    return tables_of(runs, trials, cells)


def of(table: pd.DataFrame, optimizer: str) -> pd.Series:
    return table[table["optimizer"] == optimizer].iloc[0]


def test_a_missing_number_is_never_zero() -> None:
    """A NaN read as 0 made a diverged loss the best one there is."""
    tables = pair([None, None, None], [0.5, 0.5, 0.5])
    assert of(tables["leaderboard"], "sgd")["rank"] == 1
    assert of(tables["leaderboard"], "adam")["rank"] == 2
    assert math.isnan(of(tables["final_loss"], "adam")["median"])
    assert of(tables["final_loss"], "adam")["mean"] == 2.0, "what it started from"
    for name, table in tables.items():
        if "optimizer" in table and name not in ("runs", "trials", "curves", "cells", "time_to_target"):
            numbers = table[table["optimizer"] == "adam"].filter(regex="loss|cost|seconds|median|lowest|highest")
            numbers = numbers.drop(columns=["last_cost"], errors="ignore").select_dtypes("number")
            assert not (numbers == 0).any().any(), name


def test_a_seed_that_was_reused_is_one_observation() -> None:
    """One seed for all runs gave an interval of no width."""
    cells = [cell_of("adam"), cell_of("sgd")]
    same = {"train_loss": 0.3, "valid_loss": 0.2, "test_loss": 0.1, "valid_metric": 0.95, "test_metric": 0.95}
    runs = [run_of(cell, seed, **same) for cell in cells for seed in range(8)]
    tables = tables_of(runs, [], cells)
    row = of(tables["final_loss"], "adam")
    assert row["n_seeds"] == 1
    assert math.isnan(row["mean_low"])
    assert of(tables["target_summary"], "adam")["n_seeds"] == 1
    assert not (tables["verdicts"]["verdict"].isin(["win", "loss"])).any()
    assert (tables["audit"]["finding"] == "seedless").any()


def test_the_best_trial_is_the_one_with_the_lowest_validation_loss() -> None:
    """Trials were chosen by their place, or by the first that came."""
    cell = cell_of(lr_tuned=1.0)
    trials = [trial_of(cell, 0, 0.1, 0.9), trial_of(cell, 1, 0.5, 0.3), trial_of(cell, 2, 1.0, 0.8)]
    tables = tables_of([run_of(cell)], trials, [cell])
    assert tables["best_of_k"]["best"].tolist() == [0.9, 0.3, 0.3]
    assert tables["lr_sensitivity"]["lr_best"].tolist() == [0.5]
    assert (tables["audit"]["finding"] == "selection").any(), "the cell says 1.0"


def test_a_miss_is_no_time() -> None:
    """A miss was replaced by the budget plus one second, and averaged."""
    tables = pair([0.95, 0.5, None], [0.5, 0.5, 0.5])
    times = tables["time_to_target"]
    missed = times[~times["reached"].astype(bool)]
    assert len(missed) == 5
    assert missed[["cost_to_target", "steps_to_target", "seconds_to_target"]].isna().all().all()
    assert (missed["censored_at"] == BUDGET).all(), "the diverged one too, which died at 20"
    summary = of(tables["target_summary"], "sgd")
    assert summary[["median_cost", "expected_cost", "restricted_mean_low"]].isna().all()
    areas = tables["performance_profile"].set_index("measure")["area"]
    assert (areas["cost"] == 0).all()
    assert areas["seconds"].isna().all(), "steps of these were not timed"


def test_no_figure_is_one_of_successes_only() -> None:
    """A mean over the runs that succeeded prefers an optimizer that rarely does."""
    tables = pair([2.0, None, None], [1.5, 1.5, 1.5])
    adam, sgd = (of(tables["target_summary"], name) for name in ("adam", "sgd"))
    reached = tables["time_to_target"].query("optimizer == 'adam'")["cost_to_target"].dropna()
    assert len(reached) == 1
    assert reached.iloc[0] < sgd["median_cost"], "by its successes adam is the faster one"
    assert adam["expected_cost"] == pytest.approx(reached.iloc[0] + 2 * BUDGET)
    assert adam["restricted_mean_cost"] > sgd["restricted_mean_cost"]
    assert math.isnan(adam["median_cost"])
    assert of(tables["final_metric"], "adam")["mean"] == pytest.approx(2.0 / 3), "the others count with their start, 0"


def test_the_test_set_selects_nothing() -> None:
    """Checkpoints and rates chosen on the test set made its score a training score."""
    frames = make(problems=[PROBLEMS[1]])
    before = all_tables(SimpleNamespace(**frames.__dict__))
    rng = np.random.default_rng(0)
    for column in ("test_metric", "test_loss"):
        frames.runs[column] = rng.permutation(frames.runs[column])
    after = all_tables(SimpleNamespace(**frames.__dict__))
    for name in ("targets", "time_to_target", "target_summary", "performance_profile", "pairwise_profile",
                 "data_profile", "best_of_k", "lr_transfer", "batch_scaling", "audit"):  # fmt: skip
        pd.testing.assert_frame_equal(before[name], after[name])
    assert not before["final_metric"].equals(after["final_metric"])


def test_the_seed_of_a_bootstrap_has_an_effect_and_the_global_generator_none() -> None:
    """`random_state` was ignored, and each optimizer was resampled by itself."""
    times = pair([0.95, 0.99, 0.97, 0.92, 0.8, 0.98] * 2, [0.91, 0.99, 0.5, 0.93, 0.94, 0.7] * 2)["time_to_target"]
    np.random.seed(0)  # noqa: NPY002
    first = performance_profile(times, seed=1)
    np.random.seed(1)  # noqa: NPY002
    pd.testing.assert_frame_equal(performance_profile(times, seed=1), first)
    assert not performance_profile(times, seed=2).equals(first)


def test_a_seed_that_is_there_twice_changes_no_figure() -> None:
    """Joined results hold seeds twice: intervals of twice the observations would be narrower by nothing."""
    frames = make(optimizers=["adam", "sgd"], seeds=4)
    once = all_tables(SimpleNamespace(**frames.__dict__))
    names = ("runs", "trials", "curves", "cells")
    doubled = {name: pd.concat([getattr(frames, name)] * 2, ignore_index=True) for name in names}
    twice = all_tables(SimpleNamespace(**doubled, studies=frames.studies))
    for name in ("leaderboard", "final_metric", "final_loss", "targets", "time_to_target", "target_summary",
                 "performance_profile", "pairwise_profile", "data_profile", "best_of_k", "lr_sensitivity",
                 "lr_transfer", "batch_scaling"):  # fmt: skip
        columns = [column for column in once[name] if column != "audit"]  # which says that they are there twice
        pd.testing.assert_frame_equal(once[name][columns], twice[name][columns], obj=name)
