"""Momentum: paths against the lecture's form in a plain loop, barriers by hand, and verdicts both ways."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from optbench.experiments import momentum
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.conducted import conducted
from tests.support.experiment_tables import verdicts


def test_the_quick_setting_finds_what_the_theory_says(tmp_path: Path) -> None:
    outcome = conducted("momentum[starts=2,steps=300]", tmp_path)
    assert verdicts(outcome.measurements)[2:] == [HOLDS] * 4
    slope = outcome.tables["slope"]
    position, speed = 0.0, 0.0
    for _, row in slope[slope["optimizer"].str.startswith("momentum")].iloc[1:40].iterrows():
        speed = 0.9 * speed + 0.01
        position += speed
        assert math.isclose(row["x"], position, rel_tol=1e-12)
    # In the figures of results, a cross is a run that failed.
    assert "X" not in {line.get_marker() for ax in outcome.figure.axes for line in ax.lines}


def test_barriers_are_the_local_maxima_on_the_way() -> None:
    # Minima of w² + ½ (1 − cos 2πw) are at 0 and near ±0.9 alone, so that one barrier lies between each pair.
    assert momentum.count_barriers(2.8, 0.9) == 0
    assert momentum.count_barriers(2.8, 0.0) == 1
    assert momentum.count_barriers(-2.8, 0.9) == 2
    assert momentum.count_barriers(0.1, 0.0) == 0


def test_the_factor_that_a_step_keeps_is_read_off_an_oscillating_path() -> None:
    steps = np.arange(400)
    path = np.stack([0.9**steps * np.cos(0.7 * steps), np.zeros(400)], axis=1)
    assert abs(momentum.decay_factor(path, np.ones(2)) - 0.9) < 1e-3


def made(gamma: float, crossed: tuple[int, int, int], wobble: float = 0.0) -> dict[str, pd.DataFrame]:
    """Steps that grow to 1/(1 − gamma), a valley path with this momentum, and what momentum crosses from each start;
    the tables say that it was 0.9."""
    names = ("sgd[lr=0.025]", "momentum[lr=0.025]")
    barriers = [
        {"problem": place, "optimizer": name, "crossed_x": count * (name == names[1]), "crossed_y": 0}
        for place, count in enumerate(crossed)
        for name in names
    ]
    slope, valley = [], []
    start, curvatures = np.array([4.0, 1.0]), np.array([1.0, momentum.CURVATURE])
    for name, factor in zip(names, (0.0, gamma), strict=True):
        w = momentum.lectures_form(0.025, factor, curvatures, start, 200)
        w[50, 0] += wobble * (name == names[1])
        valley.append(pd.DataFrame({"optimizer": name, "lr": 0.025, "step": range(201), "x": w[:, 0], "y": w[:, 1]}))
        pace = np.cumsum((1 - factor ** np.arange(301)) / (1 - factor)) if factor else np.arange(301.0)
        slope.append(pd.DataFrame({"optimizer": name, "lr": 1.0, "step": range(301), "x": pace}))
    tables = {"slope": pd.concat(slope), "valley": pd.concat(valley)}
    return {"barriers": pd.DataFrame(barriers), **{name: frame.assign(momentum=0.9) for name, frame in tables.items()}}


def test_verdicts_follow_the_data() -> None:
    assert verdicts(momentum.evaluate(made(0.9, (1, 1, 1)))) == [HOLDS] * 6
    assert verdicts(momentum.evaluate(made(0.8, (0, 0, 0)))) == [HOLDS, FAILS, FAILS, HOLDS, FAILS, FAILS]
    assert verdicts(momentum.evaluate(made(0.9, (0, 0, 1), wobble=1e-6))) == [
        HOLDS,
        UNKNOWN,
        HOLDS,
        HOLDS,
        HOLDS,
        FAILS,
    ]
