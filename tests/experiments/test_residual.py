"""Depth: verdicts from made-up errors, both ways."""

from __future__ import annotations

import pandas as pd

from optbench.experiments import residual
from optbench.experiments.verdict import FAILS, HOLDS
from tests.support.experiment_tables import SEEDS, noise, verdicts


def depths(plain: float, shortcut: float, change: float) -> dict[str, pd.DataFrame]:
    rows = [
        {"depth": depth, "shortcut": kind, "init": "he", "seed": seed,
         "train_loss": (1 + worse * (depth == 20)) * noise(), "valid_error": (0.5 + worse * (depth == 20)) * noise()}
        for kind, worse in (("none", plain), ("pad", shortcut)) for depth in (8, 20) for seed in SEEDS
    ]  # fmt: skip
    return {"final": pd.DataFrame(rows), "start": pd.DataFrame({"init": ["he", "identity"], "change": [0.7, change]})}


def test_residual_follows_the_data() -> None:
    assert verdicts(residual.evaluate(depths(0.3, -0.3, 0.0))) == [HOLDS] * 6
    assert verdicts(residual.evaluate(depths(-0.3, 0.3, 0.1))) == [FAILS] * 6


def test_all_five_depths_of_the_paper_are_drawn() -> None:
    """More depths than there are kinds of dashes."""
    wanted = (8, 20, 32, 44, 56)
    arms = [(depth, kind, "he") for depth in wanted for kind in ("none", "pad")]
    arms += [(56, "conv", "he"), (56, "pad", "identity")]
    final = pd.DataFrame([
        {"data": "digits", "width": 8, "optimizer": "momentum", "batch_size": 50, "depth": depth, "shortcut": kind,
         "init": init, "seed": seed, "train_loss": noise(), "valid_error": 0.1 * noise()}
        for depth, kind, init in arms for seed in SEEDS
    ])  # fmt: skip
    errors = pd.concat([final.assign(step=step, cost=50.0 * step) for step in (0, 10, 20)])
    tables = {"final": final, "errors": errors, "start": depths(0.3, -0.3, 0.0)["start"]}
    left, _, right = residual.draw(tables, residual.evaluate(tables)).axes
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == [f"{kind}, {depth}" for depth in wanted for kind in ("plain", "residual (pad)")]
    assert [tick.get_text() for tick in right.get_xticklabels()][-2:] == ["conv 56", "identity 56"]
