"""The family: costs to a value, the rival of second order, and verdicts both ways."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optbench.experiments import family
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.experiment_tables import SEEDS, noise, verdicts


def values(**pace: float) -> pd.DataFrame:
    """Values that fall by a factor of ten every `pace` gradients, noted down at each of 100."""
    return pd.DataFrame([
        {"function": "valley", "optimizer": name, "step": step, "cost": float(step), "value": 5 * 10 ** (-step / each)}
        for name, each in pace.items() for step in range(101)
    ])  # fmt: skip


def networks(**losses: float) -> pd.DataFrame:
    return pd.DataFrame([
        {"problem": "mlp", "optimizer": name, "seed": seed, "status": "ok" if loss < 9 else "diverged",
         "valid_loss": loss * noise(), "test_loss": loss * noise()}
        for name, loss in losses.items() for seed in SEEDS
    ])  # fmt: skip


def test_costs_are_those_of_the_first_value_that_is_low_enough() -> None:
    costs = family.cost_to(values(lbfgs=2, adam=10, sgd=50))
    assert costs.to_dict() == {"lbfgs": 12.0, "adam": 60.0, "sgd": math.inf}


def test_the_rival_has_the_lowest_validation_loss_and_no_failed_seed() -> None:
    runs = networks(lbfgs=0.1, adam=0.3, sgd=0.2)
    assert family.best_other(runs) == "sgd"
    runs.loc[(runs["optimizer"] == "sgd") & (runs["seed"] == 1), "status"] = "diverged"
    assert family.best_other(runs) == "adam"


def test_of_who_does_not_get_there_a_bound_is_known_and_no_number() -> None:
    for paces, low, high in (
        ({"lbfgs": 2, "adam": 50}, 0.0, 0.12),
        ({"lbfgs": 50, "adam": 2}, 100 / 12, math.inf),
        ({"lbfgs": 50, "adam": 50}, math.nan, math.nan),
    ):
        found = family.evaluate({"functions": values(**paces), "networks": networks(lbfgs=0.3, adam=0.3)})[0]
        assert math.isnan(found.measured)
        assert (found.low, found.high) == (pytest.approx(low, nan_ok=True), pytest.approx(high, nan_ok=True))


@pytest.mark.parametrize(
    ("pace", "losses", "expected"),
    [
        ({"lbfgs": 2, "adam": 10}, {"lbfgs": 0.5, "adam": 0.3}, [HOLDS, HOLDS]),
        ({"lbfgs": 10, "adam": 2}, {"lbfgs": 0.2, "adam": 0.3}, [FAILS, FAILS]),
        ({"lbfgs": 2, "adam": 50}, {"lbfgs": 9.5, "adam": 0.3}, [HOLDS, UNKNOWN]),
        ({"lbfgs": 50, "adam": 50}, {"lbfgs": 0.3, "adam": 0.3}, [UNKNOWN, UNKNOWN]),
    ],
)
def test_verdicts_follow_the_data(pace: dict[str, float], losses: dict[str, float], expected: list[str]) -> None:
    tables = {"functions": values(**pace), "networks": networks(**losses)}
    assert verdicts(family.evaluate(tables)) == expected
