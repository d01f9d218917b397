"""Batch against loop: both give the same product, and verdicts from made-up times both ways."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from optbench.experiments import batch_speedup
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.experiment_tables import verdicts


def test_loop_and_product_are_the_same_numbers() -> None:
    x, w = torch.randn(7, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    expected = np.array([[sum(a * b for a, b in zip(row, weights, strict=True)) for weights in w.tolist()]
                         for row in x.tolist()])  # fmt: skip
    for way in (batch_speedup.loop, batch_speedup.product):
        np.testing.assert_allclose(way(x, w).numpy(), expected, rtol=1e-12)


def made(ratios: list[float]) -> dict[str, pd.DataFrame]:
    # The first repetition warms up, and smaller batches decide nothing.
    rows = [{"device": "cpu", "samples": 100, "ratio": ratio} for ratio in (99.0, *ratios)]
    rows += [{"device": "cpu", "samples": 10, "ratio": 0.1}]
    return {"times": pd.DataFrame(rows)}


def test_verdicts_follow_the_data() -> None:
    assert verdicts(batch_speedup.evaluate(made([5.0, 5.2, 4.9]))) == [HOLDS]
    assert verdicts(batch_speedup.evaluate(made([0.5, 0.52, 0.49]))) == [FAILS]
    assert verdicts(batch_speedup.evaluate(made([0.5, 3.0, 1.0]))) == [UNKNOWN]
    assert abs(batch_speedup.evaluate(made([4.0, 9.0]))[0].measured - 6.0) < 1e-9
