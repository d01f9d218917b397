"""Batch sizes: losses at the same examples and times against formulas, and verdicts both ways."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.experiments import batch_size
from optbench.experiments.verdict import FAILS, HOLDS
from tests.support.experiment_tables import SEEDS, noise, verdicts


def sizes(slow: float, whole: float) -> pd.DataFrame:
    """Losses exp(−speed · examples): batch 10 and 100 at speed 1, the whole set at `whole`; 1 takes `slow` as long."""
    rows = []
    for size, speed, seconds in ((1, 1.0, slow), (10, 1.0, 1.0), (100, 1.0, 1.0), (1000, whole, 1.0)):
        for seed in SEEDS:
            for cost in np.linspace(0, 4, 9):
                loss = math.exp(-speed * cost) * noise()
                rows.append(
                    {"batch_size": size, "seed": seed, "cost": cost, "seconds": cost * seconds, "train_loss": loss}
                )
    return pd.DataFrame(rows)


def test_batch_size_compares_at_the_same_examples_and_time() -> None:
    losses = sizes(4.0, 0.25)
    assert batch_size.medium(losses) == 10
    timed = batch_size.at_the_same(losses, "seconds").groupby("batch_size")["loss"].mean()
    assert timed[1] == pytest.approx(math.exp(-1), rel=0.05)  # a quarter of the examples in the time of the others
    assert timed[10] == pytest.approx(math.exp(-4), rel=0.05)
    assert verdicts(batch_size.evaluate({"losses": losses})) == [HOLDS] * 3
    assert verdicts(batch_size.evaluate({"losses": sizes(0.25, 2.0)})) == [FAILS, FAILS, FAILS]
