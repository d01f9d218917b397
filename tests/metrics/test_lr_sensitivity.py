"""Widths, divergence and the worth of tuning, from trials on a known curve."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.lr_sensitivity import lr_sensitivity
from tests.support.rows import cell_of, frame, run_of, trial_of

NAN = math.nan


def row_of(rates: list[float], losses: list[float], runs: list[dict] | None = None, **about: object) -> pd.Series:
    cell = cell_of(**about)
    trials = [trial_of(cell, i, rate, loss) for i, (rate, loss) in enumerate(zip(rates, losses, strict=True))]
    table = lr_sensitivity(
        frame(trials, "trials").sample(frac=1, random_state=1), frame([run_of(cell) | r for r in runs or []], "runs"),
        frame([cell], "cells"),
    )  # fmt: skip
    assert len(table) == 1
    return table.iloc[0]


def test_the_width_of_a_known_parabola() -> None:
    x = np.linspace(-2, 2, 81)
    row = row_of([*10.0**x], [*(1 + x**2)])
    assert row["lr_best"] == pytest.approx(1.0)
    assert row["width"] == pytest.approx(2 * math.sqrt(0.05), abs=0.01)
    assert row["width_low"] <= row["width"] <= row["width_high"]
    assert row["width_high"] - row["width_low"] == pytest.approx(0.1)
    assert math.isnan(row["diverges_from"])


def test_a_coarse_grid_gives_bounds_and_no_width() -> None:
    row = row_of([1e-3, 1e-2, 1e-1, 1.0], [2.0, 1.0, 1.5, NAN])
    assert math.isnan(row["width"])
    assert row[["width_low", "width_high"]].tolist() == pytest.approx([0.0, 2.0])
    assert (row["trials"], row["diverged"], row["diverges_from"]) == (4, 1, 1.0)
    row = row_of([1e-2, 1e-1, 1.0], [1.0, 1.01, NAN])
    assert row["width_low"] == pytest.approx(1.0)
    assert math.isnan(row["width_high"]), "nothing tried below"


def test_losses_that_are_not_positive_have_no_five_percent() -> None:
    row = row_of([1e-2, 1e-1, 1.0], [1.0, -0.5, 1.0])
    assert row["loss_best"] == -0.5
    assert row[["width", "width_low", "width_high"]].isna().all()


def test_default_against_tuned_by_medians_in_which_a_failure_is_infinite() -> None:
    lost = {"status": "diverged", "test_loss": NAN}
    runs = [
        {"seed": 0, "test_loss": 0.2}, {"seed": 1, "test_loss": 0.4}, {"seed": 2} | lost,
        {"seed": 0, "tuned": False, "test_loss": 0.8}, {"seed": 1, "tuned": False, "test_loss": 1.0},
        {"seed": 2, "tuned": False, "test_loss": 9.0},
    ]  # fmt: skip
    row = row_of([0.1], [1.0], runs)
    assert (row["loss_tuned"], row["loss_default"], row["gap"]) == (0.4, 1.0, 2.5)
    row = row_of([0.1], [1.0], [runs[0], runs[2]])
    assert row[["loss_tuned", "loss_default", "gap"]].isna().all()


def test_default_against_tuned_on_the_seeds_that_both_have() -> None:
    losses = [0.2, 0.4, 0.6, 0.1, 0.1, 0.1, 0.1]
    runs = [{"seed": seed, "test_loss": loss} for seed, loss in enumerate(losses)]
    row = row_of([0.1], [1.0], [*runs, *({**run, "tuned": False} for run in runs[:3])])
    assert (row["loss_tuned"], row["loss_default"], row["gap"]) == (0.4, 0.4, 1.0), "the default was selected"
    row = row_of([0.1], [1.0], [*runs, {"seed": 9, "tuned": False, "test_loss": 0.5}])
    assert row[["loss_tuned", "loss_default", "gap"]].isna().all(), "no seed has both"


def test_all_diverged_pruned_and_none() -> None:
    row = row_of([0.1, 1.0], [NAN, NAN])
    assert (row["trials"], row["diverged"], row["diverges_from"]) == (2, 2, 0.1)
    assert row[["lr_best", "loss_best", "width", "width_low"]].isna().all()
    cell = cell_of()
    pruned = frame([trial_of(cell, 0, 0.1, 0.5), trial_of(cell, 1, 1.0, 0.2, status="skipped")], "trials")
    row = lr_sensitivity(pruned, frame([], "runs"), frame([cell], "cells")).iloc[0]
    assert (row["trials"], row["lr_best"]) == (1, 0.1)
    none = lr_sensitivity(pruned.iloc[:0], frame([], "runs"), frame([cell], "cells")).iloc[0]
    assert none["trials"] == 0
    assert math.isnan(none["loss_best"])
