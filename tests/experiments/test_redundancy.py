"""Redundant sets: paths against NumPy, costs read off curves, and verdicts both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optbench.experiments import redundancy
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from optbench.problem.data import DataSource
from optbench.problems.quadratic_valley import QuadraticValley
from tests.support.conducted import conducted
from tests.support.experiment_tables import verdicts


def test_both_paths_are_that_of_the_full_sum(tmp_path: Path) -> None:
    outcome = conducted(
        "redundancy[path_steps=15,samples=20,copies=3,parts=(4),steps=4,evaluations=4,seeds=2]", tmp_path
    )
    assert verdicts(outcome.measurements)[:2] == [HOLDS, HOLDS]
    points = QuadraticValley(examples=20).load_data(DataSource(tmp_path, False)).train[0].numpy()
    w, rate = np.array([4.0, 1.0]), 0.5 / (100 * 60)
    path = outcome.tables["paths"].query("visited == 'all'").sort_values("step")
    for _, row in path.iterrows():
        np.testing.assert_allclose([row["x"], row["y"]], w, rtol=1e-10, atol=1e-12)
        w = w - rate * sum(np.array([1.0, 100.0]) * (w - point) for point in np.tile(points, (3, 1)))


def curves(speed: float) -> pd.DataFrame:
    """Losses that fall by e an epoch of the full batch, and `speed` times as fast a cost with a quarter of it."""
    cost = np.linspace(0, 100, 201)
    frames = [
        pd.DataFrame({"parts": parts, "seed": seed, "cost": cost, "loss": np.exp(-cost * pace * (1 + 0.001 * seed))})
        for seed in range(3)
        for parts, pace in ((1, 0.01), (4, 0.01 * speed))
    ]
    return pd.concat(frames, ignore_index=True)


def test_gains_are_ratios_of_costs_to_the_same_loss() -> None:
    found = redundancy.gains(curves(3.7))
    assert found["gain"].to_numpy() == pytest.approx([3.7] * 3, rel=1e-3)
    assert redundancy.gains(curves(0.5))["gain"].tolist() == [0.0] * 3  # never reached


def made(speed: float, away: float, cost: float) -> dict[str, pd.DataFrame]:
    paths = [
        {"visited": name, "step": step, "x": 4.0 - step + away * (name == "once"), "y": 1.0, "copies": 10,
         "cost": cost if name == "all" else 1.0}
        for name in ("all", "once") for step in range(4)
    ]  # fmt: skip
    return {"paths": pd.DataFrame(paths), "gains": redundancy.gains(curves(speed)).assign(noise=0.0)}


def test_verdicts_follow_the_data() -> None:
    def judged(speed: float, away: float, cost: float) -> list[str]:
        tables = made(speed, away, cost)
        tables["gains"]["gain"] *= [1.0, 1.01, 0.99]
        return verdicts(redundancy.evaluate(tables))

    assert judged(3.9, 0.0, 10.0) == [HOLDS] * 3
    assert judged(1.2, 1e-6, 9.0) == [FAILS] * 3
    assert judged(0.5, 0.0, 10.0)[2] == UNKNOWN  # no ratio where the loss is never reached
