"""Medians, means and intervals of what runs end with, and the traps on the way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from optbench.metrics.final import final_loss, final_metric
from optbench.metrics.fresh_seeds import measure_cells
from tests.support.rows import cell_of, curve_of, frame, run_of
from tests.support.studies import study

NAN = math.nan


def table_of(losses: list[float | None], start: float = 2.0, metric: bool = False, **about: object) -> dict:
    """The row of one cell whose seeds ended with these losses (or metrics); None is a diverged one."""
    cell = cell_of(**about)
    runs = [
        run_of(cell, seed, test_loss=NAN if value is None else value, test_metric=NAN if value is None else value,
               status="diverged" if value is None else "ok")
        for seed, value in enumerate(losses)
    ]  # fmt: skip
    curves = [row for run in runs for row in curve_of(run, [start, NAN], [start, NAN])]
    frames = frame(runs, "runs"), frame(curves, "curves"), frame([cell], "cells")
    table = (final_metric if metric else final_loss)(*frames)
    assert len(table) == 1
    return table.iloc[0].to_dict()


@pytest.mark.parametrize("higher", [True, False])
def test_median_mean_and_interval(higher: bool) -> None:
    values = list(np.random.default_rng(0).uniform(0.3, 0.9, 7))
    row = table_of([*values], start=0.0 if higher else 5.0, metric=True, metric_higher_is_better=higher)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (row["n_seeds"], row["n_ok"]) == (7, 7)
    assert row["median"] == pytest.approx(np.median(values))
    assert row["mean"] == pytest.approx(np.mean(values))
    assert (row["mean_low"], row["mean_high"]) == pytest.approx((expected.low, expected.high))
    assert (row["lowest"], row["highest"]) == (min(values), max(values))


def test_a_diverged_seed_stays_at_its_start_in_the_mean_and_is_worst_in_the_median() -> None:
    """The traps: a NaN read as 0, and a mean over successes only."""
    row = table_of([0.2, 0.4, None], start=2.0)
    assert row["median"] == 0.4
    assert row["mean"] == pytest.approx((0.2 + 0.4 + 2.0) / 3)
    assert (row["n_ok"], row["highest"]) == (2, 0.4)
    row = table_of([0.2, None, None])
    assert math.isnan(row["median"])
    row = table_of([0.9, None], start=0.1, metric=True)
    assert row["mean"] == pytest.approx(0.5), "the accuracy at the start"
    row = table_of([None, None], start=2.0)
    assert row["mean"] == 2.0
    assert math.isnan(row["lowest"])


def test_no_seed_counts_as_worse_than_its_start() -> None:
    assert table_of([0.2, 50.0], start=2.0)["mean"] == pytest.approx(1.1)
    assert table_of([0.2, 50.0], start=2.0)["highest"] == 50.0
    assert table_of([0.2, math.inf], start=2.0)["mean"] == pytest.approx(1.1)


def test_where_a_mean_cannot_be_known_it_is_missing() -> None:
    cell = cell_of()
    for status in ("oom", "timeout", "error"):
        runs = frame([run_of(cell, 0), run_of(cell, 1, status=status, test_loss=NAN)], "runs")
        curves = frame(curve_of(run_of(cell, 1), [2.0], [2.0]), "curves")
        row = final_loss(runs, curves, frame([cell], "cells")).iloc[0]
        assert math.isnan(row["mean"])
        assert math.isnan(row["mean_low"])
        assert row["lowest"] == 0.5
    runs = frame([run_of(cell, 0), run_of(cell, 1, status="diverged", test_loss=NAN)], "runs")
    row = final_loss(runs, frame([], "curves"), frame([cell], "cells")).iloc[0]
    assert math.isnan(row["mean"]), "its start isn't known"


def test_one_seed_has_no_interval_and_a_repeated_one_does_not_make_two() -> None:
    cell = cell_of()
    for runs in ([run_of(cell, 0)], [run_of(cell, 0), run_of(cell, 0), run_of(cell, 0)]):
        row = final_loss(frame(runs, "runs"), frame([], "curves"), frame([cell], "cells")).iloc[0]
        assert row["n_seeds"] == 1
        assert (row["median"], row["mean"]) == (0.5, 0.5)
        assert math.isnan(row["mean_low"])


def test_tuned_and_default_are_apart_and_nothing_gives_nothing() -> None:
    cell = cell_of()
    runs = frame([run_of(cell, 0), run_of(cell, 0, tuned=False, test_loss=0.9)], "runs")
    table = final_loss(runs, frame([], "curves"), frame([cell], "cells")).set_index("tuned")
    assert table["median"].to_dict() == {True: 0.5, False: 0.9}
    empty = final_loss(runs.iloc[:0], frame([], "curves"), frame([cell], "cells"))
    assert len(empty) == 0
    assert set(empty.columns) == set(table.reset_index().columns)


def test_an_interval_reaches_below_zero_only_where_values_do() -> None:
    skewed = [0.01, 0.02, 0.01, 5.0]
    found = study({("loss", 10, "adam"): skewed, ("signed", 10, "adam"): skewed, ("signed", 10, "sgd"): [-0.1] * 4})
    table = final_metric(found.runs, found.curves, found.cells).set_index(["problem", "optimizer"])
    assert table.loc[("loss", "adam"), "mean_low"] == 0
    assert table.loc[("signed", "adam"), "mean_low"] < 0
    assert table.loc[("loss", "adam"), "mean_high"] == table.loc[("signed", "adam"), "mean_high"]
    higher = study({"adam": skewed}, higher=True)
    assert final_metric(higher.runs, higher.curves, higher.cells)["mean_low"].item() < 0, "an R² may be negative"
    own = measure_cells(found.runs, found.cells, "test_metric").set_index(["problem", "optimizer"])
    assert own["mean_low"].to_dict() == table["mean_low"].to_dict()
