"""Frozen features: verdicts both ways, and none on pretrained features from random ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.experiments import frozen_features
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.experiments.made import SEEDS, noise, verdicts


def transferred(weights: str, free: float) -> dict[str, pd.DataFrame]:
    final = [
        {"frozen": share, "weights": weights, "seed": seed, "test_error": error * noise()}
        for share, error in ((0.5, 0.1), (1.0, 0.3), (0.0, free)) for seed in SEEDS
    ]  # fmt: skip
    epochs = np.arange(5.0)
    counts = np.where(epochs > 2, 30_000 + frozen_features.FIRST_LAYER, 30_000)
    path = pd.DataFrame({"frozen": 0.5, "epoch": epochs, "trainable_parameters": counts})
    return {"final": pd.DataFrame(final), "curves": path}


def test_frozen_features_say_nothing_of_pretrained_ones_by_random_weights() -> None:
    assert verdicts(frozen_features.find(transferred("imagenet", 0.2))) == [HOLDS] * 4
    assert verdicts(frozen_features.find(transferred("imagenet", 0.05)))[2] == FAILS
    assert verdicts(frozen_features.find(transferred("none", 0.2))) == [HOLDS, HOLDS, UNKNOWN, UNKNOWN]
