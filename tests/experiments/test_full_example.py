"""The lecture's training: verdicts from made-up losses and errors, both ways."""

from __future__ import annotations

import pandas as pd

from optbench.experiments import full_example
from optbench.experiments.verdict import FAILS, HOLDS
from tests.support.experiment_tables import SEEDS, noise, verdicts


def example(fall: float, error: float) -> dict[str, pd.DataFrame]:
    epochs = [
        {"tuned": tuned, "seed": seed, "epoch": epoch, "train_loss": 2.3 * fall**epoch * noise()}
        for tuned in (False, True) for seed in SEEDS for epoch in (0, 1)
    ]  # fmt: skip
    final = [
        {"tuned": tuned, "seed": seed, "test_error": (error if tuned else 0.1) * noise(), "target": 0.98}
        for tuned in (False, True) for seed in SEEDS
    ]  # fmt: skip
    return {"epochs": pd.DataFrame(epochs), "final": pd.DataFrame(final)}


def test_full_example_follows_the_data() -> None:
    assert verdicts(full_example.evaluate(example(0.5, 0.01))) == [HOLDS] * 3
    assert verdicts(full_example.evaluate(example(1.5, 0.3))) == [FAILS] * 3
