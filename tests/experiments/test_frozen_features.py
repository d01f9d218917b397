"""Frozen features: verdicts both ways, and none on pretrained features from random ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.experiments import frozen_features
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.experiment_tables import SEEDS, noise, verdicts


def transferred(weights: str, free: float, epochs: int = 4, freed: int = 3) -> dict[str, pd.DataFrame]:
    """Runs of so many epochs, evaluated after each, at the end of which `freed` is the first that sees it free."""
    final = [
        {"frozen": share, "weights": weights, "seed": seed, "test_error": error * noise()}
        for share, error in ((0.5, 0.1), (1.0, 0.3), (0.0, free)) for seed in SEEDS
    ]  # fmt: skip
    steps = np.ceil(np.arange(epochs + 1) * 351.5625)  # 45,000 examples in batches of 128
    counts = np.where(np.arange(epochs + 1) >= freed, 30_000 + frozen_features.FIRST_LAYER, 30_000)
    path = pd.DataFrame({"frozen": 0.5, "epoch": steps / 351.5625, "step": steps, "trainable_parameters": counts})
    return {"final": pd.DataFrame(final), "curves": path}


def test_frozen_features_say_nothing_of_pretrained_ones_by_random_weights() -> None:
    assert verdicts(frozen_features.evaluate(transferred("imagenet", 0.2))) == [HOLDS] * 4
    assert verdicts(frozen_features.evaluate(transferred("imagenet", 0.05)))[2] == FAILS
    assert verdicts(frozen_features.evaluate(transferred("none", 0.2))) == [HOLDS, HOLDS, UNKNOWN, UNKNOWN]


def test_the_layer_is_freed_at_half_of_the_epochs_as_far_as_evaluations_see_it() -> None:
    """Half of an odd number is between two evaluations, and half of the steps may be within a batch."""
    for epochs, freed, verdict in ((5, 3, HOLDS), (10, 6, HOLDS), (1, 1, HOLDS), (5, 2, FAILS), (10, 7, FAILS)):
        assert verdicts(frozen_features.evaluate(transferred("imagenet", 0.2, epochs, freed)))[1] == verdict
