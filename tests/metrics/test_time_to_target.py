"""Crossings against a plain loop, and what counts as never having got there."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.time_to_target import time_to_target
from optbench.statistics.survival import first_crossing
from tests.support.rows import cell_of, curve_of, frame, run_of

NAN = math.nan


def targets(**of: dict[str, float]) -> pd.DataFrame:
    rows = [{"problem": p, "target_name": name, "target": t} for p, some in of.items() for name, t in some.items()]
    return pd.DataFrame(rows, columns=["problem", "target_name", "target"])


def random_frames(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    cells = [
        cell_of(optimizer, problem, metric_higher_is_better=problem == "up")
        for problem in ("up", "down") for optimizer in ("adam", "sgd", "nadam")
    ]  # fmt: skip
    runs, curves = [], []
    for cell in cells:
        for number in range(8):
            run = run_of(cell, number, tuned=bool(rng.random() < 0.7), steps=int(rng.integers(5, 40)))
            metric = np.cumsum(rng.normal(0.1, 0.4, rng.integers(1, 12)))
            metric = metric if cell["problem"] == "up" else -metric
            metric[rng.random(len(metric)) < 0.15] = rng.choice([NAN, math.inf, -math.inf])
            runs.append(run)
            curves += curve_of(run, metric)
            curves += curve_of(run | {"seed": 99}, metric + 5, kind="trial")
    return frame(runs, "runs"), frame(curves, "curves"), frame(cells, "cells")


@pytest.mark.parametrize("categories", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_equal_to_a_plain_loop(shuffled: bool, categories: bool) -> None:
    runs, curves, cells = random_frames()
    goals = targets(up={"easy": 0.2, "hard": 1.0}, down={"easy": -0.2, "medium": -0.5, "hard": -1.0})
    given = curves.sample(frac=1, random_state=0) if shuffled else curves
    if categories:
        texts = ["cell_id", "problem", "optimizer", "device", "schedule", "status", "kind"]
        given = given.astype(dict.fromkeys(texts, "category"))
        runs = runs.astype(dict.fromkeys([*texts[:-1]], "category"))
    table = time_to_target(runs, given, cells, goals)
    assert len(table) == 24 * 2 + 24 * 3
    found = 0
    for row in table.to_dict("records"):
        own = curves[(curves["cell_id"] == row["cell_id"]) & (curves["seed"] == row["seed"])
                     & (curves["tuned"] == row["tuned"]) & (curves["kind"] == "run")]  # fmt: skip
        metric = own["valid_metric"].where(np.isfinite(own["valid_metric"])).tolist()
        for column, name in (("step", "steps_to_target"), ("cost", "cost_to_target")):
            expected = first_crossing(own[column].tolist(), metric, row["target"], row["problem"] == "up")
            assert row[name] == pytest.approx(expected, rel=1e-12) if expected is not None else math.isnan(row[name])
            assert not np.isfinite(metric).any() or row["reached"] == (expected is not None)
        found += row["reached"] is True
    assert 30 < found < 100


def test_a_diverged_run_never_got_there_and_is_censored_at_its_budget() -> None:
    """The traps: a crossing before the divergence counted, or the moment of death taken for the end."""
    cell = cell_of()
    for status in ("diverged", "skipped", "oom", "timeout", "error"):
        run = run_of(cell, status=status, cost=40.0, steps=4)
        row = time_to_target(
            frame([run], "runs"), frame(curve_of(run, [0.1, 0.99, 0.1]), "curves"), frame([cell], "cells"),
            targets(p={"easy": 0.5}),
        ).iloc[0]  # fmt: skip
        assert row["reached"] is np.False_ or row["reached"] is False
        assert math.isnan(row["cost_to_target"])
        assert row["censored_at"] == 100.0


def test_a_miss_is_missing_and_never_the_budget_plus_one() -> None:
    cell = cell_of()
    run = run_of(cell)
    row = time_to_target(
        frame([run], "runs"), frame(curve_of(run, [0.1, 0.3]), "curves"), frame([cell], "cells"),
        targets(p={"hard": 0.5}),
    ).iloc[0]  # fmt: skip
    assert not row["reached"]
    assert row[["steps_to_target", "cost_to_target", "seconds_to_target"]].isna().all()


def test_seconds_are_steps_times_the_isolated_step_time() -> None:
    cell = cell_of()
    run = run_of(cell, steps=10, cost=100.0, step_ms=3.0)
    row = time_to_target(
        frame([run], "runs"), frame(curve_of(run, [0.0, 1.0]), "curves"), frame([cell], "cells"),
        targets(p={"easy": 0.5}),
    ).iloc[0]  # fmt: skip
    assert (row["steps_to_target"], row["cost_to_target"]) == (5.0, 50.0)
    assert row["seconds_to_target"] == pytest.approx(5 * 0.003)


def test_what_is_not_known_is_missing() -> None:
    cell, unfinished = cell_of(), cell_of("sgd", run_budget=NAN)
    runs = frame([run_of(cell, 0), run_of(unfinished, 0, status="diverged", cost=30.0),
                  run_of(unfinished, 1, cost=98.0, step_ms=NAN)], "runs")  # fmt: skip
    curves = frame(curve_of(run_of(unfinished, 1), [0.0, 1.0]), "curves")
    table = time_to_target(runs, curves, frame([cell, unfinished], "cells"), targets(p={"easy": 0.5}))
    assert table["reached"].isna().tolist() == [True, False, False]
    assert table["censored_at"].tolist() == [100.0, 98.0, 98.0], "what a whole run of the cell took"
    assert table["seconds_to_target"].isna().all()
    alone = time_to_target(runs.iloc[1:2], curves, frame([unfinished], "cells"), targets(p={"easy": 0.5}))
    assert alone["censored_at"].isna().all()


def test_problems_without_targets_have_no_rows() -> None:
    runs, curves, cells = random_frames()
    table = time_to_target(runs, curves, cells, targets(up={"easy": 0.2}, other={"easy": 1.0}, down={"easy": NAN}))
    assert set(table["problem"]) == {"up"}
    empty = time_to_target(runs, curves, cells, targets())
    assert len(empty) == 0
    assert list(empty.columns) == list(table.columns)
    assert len(time_to_target(runs.iloc[:0], curves, cells, targets(up={"easy": 0.2}))) == 0
    none = time_to_target(runs, curves.iloc[:0], cells, targets(up={"easy": 0.2}))
    assert none["reached"].isna().all()


def test_a_seed_counts_once() -> None:
    runs, curves, cells = random_frames()
    once = time_to_target(runs, curves, cells, targets(up={"easy": 0.2}))
    twice = time_to_target(pd.concat([runs, runs]), curves, cells, targets(up={"easy": 0.2}))
    pd.testing.assert_frame_equal(once, twice)
