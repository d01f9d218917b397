"""Parameter groups: both optimizers have what they should, and verdicts from made-up losses both ways."""

from __future__ import annotations

import math

import pandas as pd

from optbench.config.load import configure
from optbench.experiments import parameter_groups
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from optbench.planning.matrix import make_plan
from tests.support.experiment_tables import noise, verdicts


def test_both_have_one_budget_and_one_range_for_every_rate() -> None:
    described = parameter_groups.OPTIMIZERS
    config = configure(problems=["mlp[layers=2]"], optimizers=list(described), optimizer=described, batch_sizes=[50],
                       devices=["cpu"], tuning_worth=9)  # fmt: skip
    one, layers = (cell.optimizer for cell in make_plan(config).cells)
    assert set(one.search) == {"lr", "momentum"}
    assert set(layers.search) == {"lr", "momentum", "middle.lr", "middle.momentum", "last.lr", "last.momentum"}
    assert {(layers.search[name].low, layers.search[name].high) for name in layers.search if name.endswith("lr")} == {
        (one.search["lr"].low, one.search["lr"].high)
    }


def made(factor: float, networks: int = 5, failed: bool = False) -> dict[str, pd.DataFrame]:
    rows = [
        {"hidden": 32 + 8 * network, "optimizer": name, "seed": seed, "status": "ok",
         "test_loss": (factor if name == "layers" else 1.0) * (1 + network) * noise()}
        for network in range(networks) for name in ("one", "layers") for seed in range(2)
    ]  # fmt: skip
    runs = pd.DataFrame(rows)
    if failed:
        runs.loc[0, ["status", "test_loss"]] = ["diverged", math.nan]
    return {"runs": runs}


def test_verdicts_follow_the_data() -> None:
    assert verdicts(parameter_groups.evaluate(made(0.8))) == [HOLDS]
    assert verdicts(parameter_groups.evaluate(made(1.2))) == [FAILS]
    assert verdicts(parameter_groups.evaluate(made(1.0))) == [UNKNOWN]
    assert verdicts(parameter_groups.evaluate(made(0.8, networks=1))) == [UNKNOWN]
    assert verdicts(parameter_groups.evaluate(made(0.8, failed=True))) == [UNKNOWN]
