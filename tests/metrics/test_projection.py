"""Projections along a ladder, and their test on the highest rung."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.projection import INSIDE, OUTSIDE, UNTESTED, projection, projection_sentence
from tests.metrics.test_scaling import made, sized
from tests.support.ladder_truth import horizons


def test_the_highest_rung_is_held_out() -> None:
    runs, cells = made(draw=1)
    table = projection(runs, cells)
    held = table[table["observed"].notna()].set_index("optimizer")
    assert set(held.index) == {"adam", "a"}
    assert (held["rungs"] == 3).all()
    assert (held["at"] == horizons(4)[-1]).all()
    top = runs[runs["cost"] == horizons(4)[-1]].assign(log=lambda one: np.log(one["test_loss"].astype(float)))
    for name, row in held.iterrows():
        assert row["observed"] == pytest.approx(math.exp(top.loc[top["optimizer"] == name, "log"].mean()))
        assert row["test"] == INSIDE
    further = table[table["observed"].isna()]
    assert (further["rungs"] == 4).all()
    assert further["at"].to_numpy() == pytest.approx(horizons(4)[-1] * 3)
    assert (further["test"] == INSIDE).all()
    assert projection_sentence(table).endswith("in 2 of 2 cases.")


def test_the_held_out_rung_does_not_reach_the_fit() -> None:
    runs, cells = made(draw=1)
    top = runs["cost"] == horizons(4)[-1]
    changed = runs.assign(test_loss=runs["test_loss"].where(~top, runs["test_loss"] * 3))
    before, after = (projection(one, cells).dropna(subset="observed") for one in (runs, changed))
    columns = ["predicted", "low", "high", "limit", "exponent"]
    pd.testing.assert_frame_equal(before[columns], after[columns])
    assert set(after["test"]) == {OUTSIDE}
    assert set(projection(changed, cells)["test"]) == {OUTSIDE}
    assert projection_sentence(after).endswith("in 0 of 2 cases.")


def test_two_rungs_are_untested() -> None:
    table = projection(*made(count=2))
    assert set(table["test"]) == {UNTESTED}
    assert table["observed"].isna().all()
    assert projection_sentence(table).startswith("No projection is tested")
    assert projection(*made(count=1)).empty
    assert projection_sentence(projection(*made(count=1))) == ""


def test_sizes_are_projected_at_each_run_budget() -> None:
    table = projection(*sized({8: 1.0, 16: 1.0, 32: 1.0}))
    sizes = table[table["axis"] == "size"].dropna(subset="observed")
    assert sorted(sizes["run_budget"].unique()) == [1000, 4000, 16000]
    assert (sizes["at"] == 32).all()
    assert (sizes["test"] == INSIDE).mean() > 0.7
    assert table.loc[table["axis"] == "horizon", "size"].notna().all()


def test_one_seed_gives_no_interval_and_no_row() -> None:
    assert projection(*made(seeds=1)).empty
