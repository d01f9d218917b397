"""Depth: verdicts from made-up errors, both ways."""

from __future__ import annotations

import pandas as pd

from optbench.experiments import residual
from optbench.experiments.verdict import FAILS, HOLDS
from tests.experiments.made import SEEDS, noise, verdicts


def depths(plain: float, shortcut: float, change: float) -> dict[str, pd.DataFrame]:
    rows = [
        {"depth": depth, "shortcut": kind, "init": "he", "seed": seed,
         "train_loss": (1 + worse * (depth == 20)) * noise(), "valid_error": (0.5 + worse * (depth == 20)) * noise()}
        for kind, worse in (("none", plain), ("pad", shortcut)) for depth in (8, 20) for seed in SEEDS
    ]  # fmt: skip
    return {"final": pd.DataFrame(rows), "start": pd.DataFrame({"init": ["he", "identity"], "change": [0.7, change]})}


def test_residual_follows_the_data() -> None:
    assert verdicts(residual.find(depths(0.3, -0.3, 0.0))) == [HOLDS] * 6
    assert verdicts(residual.find(depths(-0.3, 0.3, 0.1))) == [FAILS] * 6
