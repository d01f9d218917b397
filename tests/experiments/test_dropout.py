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
