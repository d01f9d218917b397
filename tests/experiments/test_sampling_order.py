"""Orders of sampling: verdicts from made-up losses, and that the orders are what was run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from optbench.experiments import sampling_order
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.conducted import conducted
from tests.support.experiment_tables import SEEDS, noise, verdicts


def made(**factors: float) -> dict[str, pd.DataFrame]:
    """Losses of one problem, in parts of the shuffled one's; early epochs say the opposite."""
    rows = [
        {"problem": "valley", "order": order, "seed": seed, "epoch": epoch,
         "loss": (factor if epoch > 2 else 1 / factor) * noise()}
        for order, factor in {"shuffled": 1.0, **factors}.items() for seed in SEEDS for epoch in range(5)
    ]  # fmt: skip
    return {"losses": pd.DataFrame(rows)}


def test_verdicts_follow_the_data() -> None:
    assert verdicts(sampling_order.evaluate(made(sequential=2.0, replacement=1.5))) == [HOLDS, HOLDS]
    assert verdicts(sampling_order.evaluate(made(sequential=0.5, replacement=1.5))) == [FAILS, HOLDS]
    assert verdicts(sampling_order.evaluate(made(sequential=1.5, replacement=0.95))) == [HOLDS, UNKNOWN]


def test_every_order_is_run_with_the_same_seeds(tmp_path: Path) -> None:
    losses = conducted("sampling-order[epochs=2,batch=64,seeds=2,valley_seeds=2]", tmp_path).tables["losses"]
    valley = losses[losses["problem"] == "valley"]
    assert sorted(valley["order"].unique()) == ["replacement", "sequential", "shuffled"]
    assert all(set(rows["seed"]) == {0, 1} for _, rows in valley.groupby("order"))
    ends = valley[valley["epoch"] == 2].pivot(index="seed", columns="order", values="loss")
    # One start and one order have one path; the others depend on the seed.
    assert ends["sequential"].nunique() == 1
    assert ends["shuffled"].nunique() == ends["replacement"].nunique() == 2
