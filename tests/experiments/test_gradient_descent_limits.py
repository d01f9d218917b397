"""The edge of stability: paths against NumPy, and verdicts from made-up growths both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from optbench.experiments.gradient_descent_limits import SHARES, evaluate
from optbench.experiments.verdict import FAILS, HOLDS
from tests.support.conducted import conducted


def test_paths_are_those_of_gradient_descent(tmp_path: Path) -> None:
    outcome = conducted("gradient-descent-limits[steps=100,rates=41,conditions=(10),condition=25]", tmp_path)
    paths = outcome.tables["paths"]
    for share in SHARES:
        w = np.array([4.0, 1.0])
        for _, row in paths[np.isclose(paths["share"], share)].iterrows():
            np.testing.assert_allclose([row["x"], row["y"]], w, rtol=1e-12, atol=1e-12)
            w = w - share * 2 / 25 * np.array([1.0, 25.0]) * w
    assert outcome.verdict == HOLDS


def made(edge: float, contraction: float) -> dict[str, pd.DataFrame]:
    """Growths of a valley of L = 10 whose loss grows above `edge`, in parts of 2/L, and a path along it."""
    share = np.linspace(0.905, 1.095, 39)
    growth = np.where(share < edge, 0.5, 2.0)
    steps = np.arange(20)
    return {
        "edges": pd.DataFrame({"condition": 10.0, "lr": share / 5, "share": share, "growth": growth}),
        "paths": pd.DataFrame({"lr": 0.1, "share": 0.5, "step": steps, "x": 4 * contraction**steps, "y": 0.0}),
    }


def test_verdicts_follow_the_data() -> None:
    assert [measurement.verdict for measurement in evaluate(made(1.0, 0.9))] == [HOLDS, HOLDS]
    assert [measurement.verdict for measurement in evaluate(made(0.95, 0.9))] == [FAILS, HOLDS]
    assert [measurement.verdict for measurement in evaluate(made(1.05, 0.91))] == [FAILS, FAILS]


def test_a_measured_edge_lies_between_the_rates_that_bracket_it() -> None:
    found = evaluate(made(1.0, 0.9))[0]
    assert found.low < 0.2 <= found.high
    assert found.predicted == 0.2
