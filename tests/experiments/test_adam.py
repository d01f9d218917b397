"""Adam: its paths against the rule in NumPy, with and without bias correction, and verdicts both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from optbench.experiments import adam
from optbench.experiments.uncorrected import UncorrectedAdam
from optbench.experiments.verdict import FAILS, HOLDS
from tests.support.conducted import conducted
from tests.support.experiment_tables import verdicts


def by_rule(curvature: float, rate: float, steps: int, corrected: bool) -> np.ndarray:
    """Adam on ½ (x² + curvature y²) from (4, 1), by Algorithm 1 of its paper."""
    w, m, v = np.array([4.0, 1.0]), np.zeros(2), np.zeros(2)
    places = [w]
    for t in range(1, steps + 1):
        g = np.array([1.0, curvature]) * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        first, second = (1 - 0.9**t, 1 - 0.999**t) if corrected else (1.0, 1.0)
        w = w - rate * (m / first) / (np.sqrt(v / second) + 1e-8)
        places.append(w)
    return np.array(places)


def test_paths_are_those_of_the_rule_and_the_claim_holds(tmp_path: Path) -> None:
    outcome = conducted("adam[steps=40]", tmp_path)
    assert verdicts(outcome.measurements) == [HOLDS] * 4
    parts = outcome.tables["parts"]
    for part, corrected in (("Adam", True), ("no bias correction", False)):
        path = parts[parts["part"] == part].sort_values("step")[["x", "y"]]
        np.testing.assert_allclose(path, by_rule(100.0, 0.1, 40, corrected), rtol=1e-9, atol=1e-9)


def test_parameters_without_a_gradient_stay() -> None:
    still = torch.nn.Parameter(torch.ones(2))
    moved = torch.nn.Parameter(torch.ones(2))
    optimizer = UncorrectedAdam([still, moved], lr=0.1)
    moved.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(still, torch.ones(2))
    assert torch.allclose(moved, torch.ones(2) - 0.1 * 0.1 / 0.001**0.5)


def made(adam_gap: float, sgd_gap: float, first: float) -> dict[str, pd.DataFrame]:
    twins = [
        {"optimizer": name, "condition": condition, "step": step,
         "x": 4.0 - step + gap * (condition > 1) * step, "y": 3.0}
        for name, gap in (("adam", adam_gap), ("sgd", sgd_gap))
        for condition in (1.0, 100.0)
        for step in range(3)
    ]  # fmt: skip
    parts = [
        {"part": part, "lr": 0.1, "step": step, "x": 4 - 0.1 * length * step, "y": 1 - 0.1 * length * step}
        for part, length in (("Adam", first), ("no bias correction", first * 0.1 / 0.001**0.5))
        for step in range(3)
    ]
    return {"twins": pd.DataFrame(twins), "parts": pd.DataFrame(parts)}


def test_verdicts_follow_the_data() -> None:
    assert verdicts(adam.evaluate(made(0.0, 0.5, 1.0))) == [HOLDS] * 4
    assert verdicts(adam.evaluate(made(0.1, 0.0, 0.9))) == [FAILS] * 4
    # Two steps of 0.5 are a fifth of the way of 5 from start to minimum.
    assert adam.evaluate(made(0.0, 0.5, 1.0))[1].measured == 0.2
