"""Dropout: verdicts from made-up masks and gaps, both ways."""

from __future__ import annotations

import pandas as pd

from optbench.experiments import dropout
from optbench.experiments.verdict import FAILS, HOLDS
from tests.support.experiment_tables import SEEDS, noise, verdicts


def dropped(mean: float, gap: float, changed: int) -> dict[str, pd.DataFrame]:
    masks = [{"dropout": 0.5, "training": True, "mean": mean + 1e-3 * k, "zeros": 0.5 + 1e-3 * k} for k in (-1, 0, 1)]
    masks.append({"dropout": 0.5, "training": False, "mean": 1.0, "zeros": 0.0})
    final = [{"dropout": p, "seed": s, "gap": (gap if p else 0.2) * noise()} for p in (0.0, 0.5) for s in SEEDS]
    return {"masks": pd.DataFrame(masks).assign(changed=changed), "final": pd.DataFrame(final)}


def test_dropout_follows_the_data() -> None:
    assert verdicts(dropout.evaluate(dropped(1.0, 0.1, 0))) == [HOLDS] * 4
    assert verdicts(dropout.evaluate(dropped(0.5, 0.3, 7))) == [FAILS, HOLDS, FAILS, FAILS]


def test_headings_are_of_what_their_panels_show() -> None:
    tables = dropped(1.0, 0.1, 0)
    tables["final"] = tables["final"].assign(data="digits", optimizer="adam", batch_size=100)
    tables["curves"] = pd.DataFrame([
        {"dropout": p, "seed": seed, "step": step, "cost": 100.0 * step, "valid_loss": 1.0, "train_loss": 1.0}
        for p in (0.0, 0.5) for seed in SEEDS for step in range(3)
    ])  # fmt: skip
    left, middle, right = dropout.draw(tables, dropout.evaluate(tables)).axes
    for ax, label, heading in (
        (left, "activations", "Mean of activations"), (middle, "loss", "Losses"), (right, "test loss", "Gap"),
    ):  # fmt: skip
        assert label in ax.get_ylabel()
        assert ax.get_title(loc="left").startswith(heading)
