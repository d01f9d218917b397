"""Batch sizes on curves whose critical batch size is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.batch_scaling import batch_scaling
from tests.support.rows import cell_of, frame

NAN = math.nan


def scaling(costs: dict[int, float], rates: dict[int, float] | None = None, unknown: tuple[int, ...] = ()):
    """Of one optimizer with these median costs to the target by batch size; NaN is a miss."""
    cells = [cell_of(batch_size=size, lr_tuned=(rates or {}).get(size, 0.1)) for size in costs]
    summary = pd.DataFrame([
        {name: cell[name] for name in ("problem", "batch_size", "device", "schedule", "optimizer")}
        | {"target_name": "easy", "target": 0.5, "n_seeds": 3,
           "n_reached": None if cell["batch_size"] in unknown else 3,
           "median_cost": cost, "median_steps": cost / cell["batch_size"], "median_seconds": NAN}
        for cell, cost in zip(cells, costs.values(), strict=True)
    ]).astype({"n_reached": "Int64"})  # fmt: skip
    return batch_scaling(summary.sample(frac=1, random_state=0), frame(cells, "cells"))


def test_the_critical_batch_of_a_known_law() -> None:
    costs = {size: 1000 * (1 + size / 64) for size in (8, 16, 32, 64, 128, 256)}
    table = scaling(costs, {size: 0.01 * size**0.5 for size in costs})
    assert table["batch_size"].tolist() == sorted(costs)
    assert table["critical_batch"].tolist() == pytest.approx([64] * 6)
    assert table["lr_exponent"].tolist() == pytest.approx([0.5] * 6)
    assert table["pays"].tolist() == [True] * 4 + [False] * 2, "up to twice the cost at batch size 8"
    assert set(table["pays_up_to"]) == {64}
    assert not table["pays_beyond"].any()
    expected = -np.diff(np.log(table["steps"])) / np.log(2)
    np.testing.assert_allclose(table["step_exponent"].iloc[1:], expected)
    assert math.isnan(table["step_exponent"].iloc[0])


def test_perfect_scaling_pays_beyond_what_was_tried() -> None:
    table = scaling({10: 500.0, 100: 500.0, 1000: 500.0})
    assert table["step_exponent"].iloc[1:].tolist() == pytest.approx([1.0, 1.0])
    assert set(table["pays_up_to"]) == {1000}
    assert table["pays_beyond"].all()
    assert table["critical_batch"].isna().all()
    assert table["lr_exponent"].tolist() == [0.0] * 3


def test_a_miss_does_not_pay_and_ends_the_range_that_does() -> None:
    table = scaling({10: 500.0, 100: NAN, 1000: 600.0})
    assert table["pays"].tolist() == [True, False, True]
    assert set(table["pays_up_to"]) == {10}
    assert not table["pays_beyond"].any()
    assert table["critical_batch"].isna().all(), "two points determine any line"


def test_a_target_met_at_the_start_has_no_exponent() -> None:
    table = scaling({10: 0.0, 100: 0.0})
    assert table["step_exponent"].isna().all()
    assert table["pays"].tolist() == [True, True]


def test_what_is_not_known_decides_nothing() -> None:
    table = scaling({10: 500.0, 100: NAN}, unknown=(100,))
    assert table["pays"].tolist() == [True, pd.NA]
    assert table["pays_beyond"].all()
    table = scaling({10: NAN, 100: NAN})
    assert table[["pays_up_to", "pays_beyond", "pays"]].isna().all().all()


def test_one_batch_size_has_no_scaling() -> None:
    assert len(scaling({10: 500.0})) == 0
