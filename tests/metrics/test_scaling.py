"""Effective speed-ups along a ladder, their slopes and verdicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.scaling import (
    AT_LEAST,
    AT_MOST,
    GROWS,
    HOLDS,
    SHRINKS,
    UNDECIDED,
    scaling,
    scaling_sentences,
    scaling_slopes,
    verdict,
)  # fmt: skip
from tests.support.ladder_truth import Law, frames_of, horizons, simulate
from tests.support.rows import cell_of, frame, run_of

STEADY = Law(limit=0.1, scale=1.0, exponent=0.5, speedup=1.4, slope=0.0, noise=0.002)


def made(law: Law = STEADY, count: int = 4, seeds: int = 6, draw: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    return frames_of(law, count, seeds, np.random.default_rng(draw))


def test_speedups_are_those_of_the_law() -> None:
    table = scaling(*made())
    assert table["run_budget"].tolist() == horizons(4).tolist()
    assert set(table["optimizer"]) == {"a"}
    assert set(table["over"]) == {"adam"}
    assert table["speedup"][:3].to_numpy() == pytest.approx(1.4, rel=0.03)
    assert (table["speedup_low"] < 1.4).all()
    assert (table["speedup_high"] > 1.4).all()
    assert table["bound"].tolist() == ["", "", "", AT_LEAST]
    assert table["speedup"].iloc[3] == pytest.approx(1.0)
    assert table["speedup_high"].iloc[3] == math.inf
    assert table["loss"].to_numpy() == pytest.approx(STEADY.loss("a", horizons(4)), rel=0.01)
    assert table["loss_over"].to_numpy() == pytest.approx(STEADY.loss("adam", horizons(4)), rel=0.01)
    assert (table["n"] == 6).all()


def test_a_slower_optimizer_has_a_bound_below() -> None:
    table = scaling(*made(Law(0.1, 1.0, 0.5, 0.6, 0.0, 0.002)))
    assert table["bound"].tolist() == [AT_MOST, "", "", ""]
    assert table["speedup_low"].iloc[0] == 0
    assert table["speedup"][1:].to_numpy() == pytest.approx(0.6, rel=0.03)


def test_seconds_are_the_ratio_of_the_seconds_per_example_gradient() -> None:
    runs, cells = made()
    runs["steps"] = runs["cost"] / 10
    runs["step_ms"] = np.where(runs["optimizer"] == "a", 3.0, 1.0)
    table = scaling(runs, cells)
    assert table["seconds_speedup"].to_numpy() == pytest.approx((table["speedup"] / 3).to_numpy())
    assert table["seconds_speedup_low"].to_numpy() == pytest.approx((table["speedup_low"] / 3).to_numpy())
    runs["step_ms"] = math.nan
    assert scaling(runs, cells)["seconds_speedup"].isna().all()


def test_rungs_with_failed_runs_are_left_out_and_named() -> None:
    runs, cells = made()
    failed = (runs["optimizer"] == "a") & (runs["cost"] == horizons(4)[1]) & (runs["seed"] == 2)
    runs.loc[failed, ["status", "test_loss", "valid_loss", "train_loss"]] = ["diverged", math.nan, math.nan, math.nan]
    table = scaling(runs, cells).set_index("run_budget")
    assert table.loc[horizons(4)[1], "note"] == "1 runs have no loss"
    assert math.isnan(table.loc[horizons(4)[1], "speedup"])
    assert table["speedup"].notna().sum() == 3
    assert scaling_slopes(runs, cells)["rungs"].tolist() == [2]


@pytest.mark.parametrize(("slope", "expected"), [(0.0, HOLDS), (0.15, GROWS), (-0.15, SHRINKS)])
def test_slopes_are_those_of_the_law(slope: float, expected: str) -> None:
    runs, cells = made(Law(0.1, 1.0, 0.5, 1.3, slope, 0.001))
    [row] = scaling_slopes(runs, cells).to_dict("records")
    assert row["axis"] == "horizon"
    assert row["slope"] == pytest.approx(slope, abs=0.02)
    assert row["verdict"] == expected
    [text] = scaling_sentences(pd.DataFrame([row]))
    assert f"the speed-up of a over adam {expected} with the run budget (a factor of " in text


def test_sentences_name_the_schedule_if_there_are_several() -> None:
    slopes = scaling_slopes(*made())
    [alone] = scaling_sentences(slopes)
    assert alone.startswith("p, batch size 10: the speed-up of a over adam ")
    both = scaling_sentences(pd.concat([slopes, slopes.assign(schedule="cosine")], ignore_index=True))
    assert [text.partition(":")[0] for text in both] == ["p, batch size 10, constant", "p, batch size 10, cosine"]


def test_verdicts_follow_from_intervals() -> None:
    assert verdict(-0.04, 0.04) == HOLDS
    assert verdict(0.01, 0.04) == HOLDS, "a change that is shown to be small"
    assert verdict(0.01, 0.2) == GROWS
    assert verdict(-0.2, -0.01) == SHRINKS
    assert verdict(-0.2, 0.2) == UNDECIDED


def sized(speedups: dict[float, float], seeds: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two horizons in several sizes; the loss is a power law of the compute, and larger networks are better."""
    random, cells, runs = np.random.default_rng(3), list[dict[str, Any]](), list[dict[str, Any]]()
    for size, speedup in speedups.items():
        for optimizer, factor in (("adam", 1.0), ("a", speedup)):
            for budget in (1000.0, 4000.0, 16000.0):
                problem = f"p[size={size:g},run_budget={budget:g}examples]"
                cell = cell_of(optimizer, problem, run_budget=budget, ladder="p", size=size)
                cells.append(cell)
                for seed in range(seeds):
                    loss = 10 * (factor * budget) ** -0.4 * size**-0.2 * math.exp(0.002 * random.normal())
                    more = {"train_loss": loss, "test_loss": loss, "valid_loss": loss}
                    runs.append(run_of(cell, seed, cost=budget, **more))
    return frame(runs, "runs"), frame(cells, "cells")


def test_sizes_are_an_axis_of_their_own() -> None:
    runs, cells = sized({8: 2.0, 32: 1.5, 128: 1.125})
    table = scaling(runs, cells)
    assert table.query("size == 32 and bound == ''")["speedup"].to_numpy() == pytest.approx(1.5, rel=0.02)
    slopes = scaling_slopes(runs, cells).set_index("axis")
    assert slopes.loc["size", "verdict"] == SHRINKS
    assert slopes.loc["size", "slope"] == pytest.approx(math.log10(1.125 / 2) / math.log10(16), abs=0.02)
    assert slopes.loc["horizon", "verdict"] == HOLDS


def test_one_run_budget_gives_no_speedup_but_a_reason() -> None:
    runs, cells = sized({8: 2.0, 32: 1.5})
    cells = cells[cells["run_budget"] == 1000]
    runs = runs[runs["cell_id"].isin(cells["cell_id"])]
    table = scaling(runs, cells)
    assert table["speedup"].isna().all()
    assert table["note"].str.contains("adam has one run budget here").all()
    assert set(scaling_slopes(runs, cells)["verdict"]) == {UNDECIDED}
    assert "has no slope over the size" in scaling_sentences(scaling_slopes(runs, cells))[0]


def test_a_reference_that_gets_worse_is_named() -> None:
    runs, cells = made()
    worse = (runs["optimizer"] == "adam") & (runs["cost"] == horizons(4)[-1])
    runs.loc[worse, "test_loss"] *= 3
    table = scaling(runs, cells)
    assert table["note"].str.startswith("the loss of adam rises with the run budget here").all()
    assert table["bound"].tolist() == ["", "", AT_LEAST, AT_LEAST]
    assert (scaling(*made())["note"] == "").all()


def test_budgets_that_differ_by_optimizer_have_no_slope() -> None:
    """As budgets in seconds do, which are other numbers of examples for each optimizer."""
    runs, cells = made(count=2)
    kept = cells[(cells["optimizer"] == "adam") == (cells["run_budget"] == horizons(2)[0])]
    assert scaling_slopes(runs[runs["cell_id"].isin(kept["cell_id"])], kept).empty


def test_without_a_ladder_there_is_nothing() -> None:
    runs, cells = made(count=1)
    assert scaling(runs, cells).empty
    assert scaling_slopes(runs, cells).empty
    assert scaling(*(part.drop(columns=["ladder"], errors="ignore") for part in made())).empty
    assert scaling(runs.iloc[:0], cells.iloc[:0]).empty


def test_copies_of_a_seed_count_once() -> None:
    runs, cells = made(seeds=3)
    copies = runs.assign(seed=runs["seed"] + 10)
    pd.testing.assert_frame_equal(scaling(pd.concat([runs, copies]), cells), scaling(runs, cells))


def test_intervals_cover_the_truth_and_verdicts_are_true() -> None:
    """`python -m tests.support.ladder_truth` does the same on many more ladders."""
    found = simulate(3, 5, 60)
    assert found["speed-ups covered"] / found["speed-ups"] >= 0.9
    assert found["slopes covered"] / found["slopes"] >= 0.85
    assert found["wrong"] <= 2
    assert found[HOLDS] > 10
    assert found[GROWS] + found[SHRINKS] > 5
