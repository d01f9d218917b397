"""Which optimizers contain others as special cases, and that the audit finds those which lose to what they contain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optbench.config.load import configure
from optbench.metrics.audit import audit
from optbench.metrics.inclusion import inclusions
from optbench.planning.matrix import make_plan
from tests.support.studies import Study, study

MOMENTUM = {"low": 0.0, "high": 0.99, "scale": "linear"}
LARGE = {"low": 1e-8, "high": 1e3}
TABLES: dict[str, Any] = {
    "momentum_any": {"base": "momentum", "search": {"momentum": MOMENTUM}},
    "momentum_high": {"base": "momentum", "search": {"momentum": {"low": 0.5, "high": 0.99, "scale": "linear"}}},
    "momentum_list": {"base": "momentum", "search": {"momentum": {"values": [0.0, 0.9]}}},
    "momentum_decayed": {"base": "momentum", "arguments": {"weight_decay": 0.1}, "search": {"momentum": MOMENTUM}},
    "nesterov_any": {"base": "nesterov", "search": {"momentum": {"low": 0.1, "high": 0.99, "scale": "linear"}}},
    "adam_large": {"base": "adam", "search": {"lr": {"low": 1e-5, "high": 1e5}, "eps": LARGE}},
    "adam_small": {"base": "adam", "search": {"eps": {"low": 1e-10, "high": 1e-4}}},
    "adam_narrow": {"base": "adam", "search": {"eps": LARGE}},
    "adam_betas": {"base": "adam", "search": {
        "beta1": {"low": 0.0, "high": 0.99, "scale": "linear"},
        "beta2": {"low": 0.9, "high": 0.999, "scale": "linear"}}},
    "rmsprop_large": {"base": "rmsprop", "search": {
        "lr": {"low": 1e-5, "high": 1e5}, "eps": LARGE, "momentum": MOMENTUM}},
    "adamw_plain": {"base": "adamw", "arguments": {"weight_decay": 0.0}},
    "adamw_wsd": {"base": "adamw", "arguments": {"lr_schedule": "wsd", "lr_cooldown": 0.4, "weight_decay": 0.01}},
    "adamw_all": {"base": "adamw", "arguments": {"lr_schedule": "wsd"}, "search": {
        "weight_decay": {"low": 1e-4, "high": 1.0, "zero": True},
        "lr_cooldown": {"low": 0.1, "high": 0.8, "scale": "linear"}}},
    "sgd_clipped": {"base": "sgd", "arguments": {"clip_norm": 1.0}},
}  # fmt: skip


def tuned(first: str, second: str, losses: dict[str, list[Any]] | None = None, **chosen: dict[str, Any]) -> Study:
    """The frames of two optimizers on one task; `chosen` has the points that they have chosen, by default the start."""
    config = configure(
        problems=["mlp[data=digits]"], optimizers=[first, second], batch_sizes=[32], devices=["cpu"],
        run_budget="1epochs", optimizer=TABLES, tuning={"worth": 6},
    )  # fmt: skip
    records = {record["optimizer"]: record for record in (cell.record() for cell in make_plan(config).cells)}
    found = study(
        losses or {first: [1.0] * 10, second: [1.0] * 10}, trials={name: [2.0, 1.0, 1.5, 1.4] for name in records}
    )
    for name, record in records.items():
        cell, run = found.cells["optimizer"] == name, found.runs["optimizer"] == name
        low, high = record["lr_range"]
        for column in ("constructor", "search"):
            found.cells.loc[cell, column] = record[column]
        found.cells.loc[cell, ["lr_low", "lr_high", "lr_low_searched", "lr_high_searched"]] = [low, high, low, high]
        values = {"lr": 0.01, **record["arguments"], **record["defaults"], **chosen.get(name, {})}
        for key, value in values.items():
            column = "lr" if key == "lr" else f"hp_{key}"
            found.runs[column] = found.runs.get(column, pd.Series(index=found.runs.index, dtype=object)).astype(object)
            found.runs.loc[run, column] = str(value) if isinstance(value, (list, tuple)) else value
    found.runs["lr"] = found.runs["lr"].astype(float)
    return found


def where(first: str, second: str, **chosen: dict[str, Any]) -> str:
    """With what the first optimizer is the second one; empty if it does not contain it."""
    found = tuned(first, second, **chosen)
    pairs = {one.names: one.where for one in inclusions(found.runs, found.cells)}
    return pairs.get((first, second), "")


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [("momentum_any", "sgd", "momentum = 0"), ("momentum_list", "sgd", "momentum = 0"),
     ("momentum_any", "momentum", "momentum = 0.9"), ("nesterov_any", "nesterov", "momentum = 0.9"),
     ("adam_large", "momentum", "large eps, beta1 = 0.9"), ("rmsprop_large", "sgd", "large eps, momentum = 0"),
     ("rmsprop_large", "momentum", "large eps, momentum = 0.9"), ("adam", "adamw_plain", "the same hyperparameters"),
     ("adam_betas", "adam", "beta1 = 0.9, beta2 = 0.999"), ("adam_betas", "adam[betas=(0.8,0.99)]", "beta1 = 0.8"),
     ("adamw_all", "adamw_wsd", "lr_cooldown = 0.4, weight_decay = 0.01")],
)  # fmt: skip
def test_what_contains_what(first: str, second: str, text: str) -> None:
    assert where(first, second).startswith(text)


@pytest.mark.parametrize(
    ("first", "second"),
    [("momentum", "sgd"), ("momentum_high", "sgd"), ("nesterov_any", "sgd"), ("nesterov_any", "momentum"),
     ("momentum_any", "nesterov"), ("momentum_decayed", "sgd"), ("momentum_any", "sgd_clipped"), ("adam", "momentum"),
     ("adam_small", "momentum"), ("adam_large", "sgd"), ("adam_large", "nesterov"),
     ("adam_betas", "rmsprop"), ("adamw_all", "adamw"), ("adam", "adamw[weight_decay=0.01]"), ("adamax", "adam"),
     ("nadam", "adam"), ("sgd", "momentum"), ("adagrad", "sgd")],
)  # fmt: skip
def test_what_does_not_contain_what(first: str, second: str) -> None:
    """Ranges that do not hold the special case, other fixed values, other methods."""
    assert where(first, second) == ""


def test_the_chosen_point_decides() -> None:
    assert where("momentum_high", "momentum_any", momentum_any={"momentum": 0.6}) == "momentum = 0.6"
    assert where("momentum_high", "momentum_any", momentum_any={"momentum": 0.3}) == ""
    assert where("adam_narrow", "momentum", momentum={"lr": 0.001}) == "large eps, beta1 = 0.9"
    assert where("adam_narrow", "momentum", momentum={"lr": 0.1}) == "", "the rate would have to be 1"
    assert where("adam", "adam[eps=1e-8]", **{"adam[eps=1e-8]": {"lr": 0.05}}) != ""
    assert where("adam", "adam[eps=1e-8]", **{"adam[eps=1e-8]": {"lr": 0.5}}) == "", "beyond the rates searched"


def inclusion_findings(better: float, spread: float, seeds: int = 10) -> list[str]:
    """The findings if SGD has lower losses than momentum, whose tuning could have chosen SGD."""
    random = np.random.default_rng(0)
    shared = random.normal(0, 0.3, seeds)
    losses = {
        "momentum_any": np.exp(shared + spread * random.normal(size=seeds)).tolist(),
        "sgd": np.exp(shared - better).tolist(),
    }
    found = tuned("momentum_any", "sgd", losses)
    table = audit(found.trials, found.runs, found.cells)
    assert set(table.loc[table["finding"] == "inclusion", "optimizer"]) <= {"momentum_any"}
    return table.loc[table["finding"] == "inclusion", "reason"].tolist()


def test_a_loss_beyond_noise_is_found() -> None:
    [reason] = inclusion_findings(better=0.3, spread=0.05)
    assert reason.startswith("it contains sgd as a special case (momentum = 0), but on 10 fresh seeds its median")
    assert "(p = 0.0020)" in reason


@pytest.mark.parametrize(
    ("better", "spread", "seeds"),
    [(0.0, 0.05, 10), (-0.3, 0.05, 10), (0.02, 0.001, 10), (0.1, 0.5, 10), (0.3, 0.05, 3)],
)
def test_noise_small_losses_and_too_few_seeds_are_not_found(better: float, spread: float, seeds: int) -> None:
    assert inclusion_findings(better, spread, seeds) == []


def test_an_optimizer_all_of_whose_runs_diverge_is_found() -> None:
    found = tuned("momentum_any", "sgd", {"momentum_any": [None] * 6, "sgd": [1.0] * 6})
    assert "inclusion" in audit(found.trials, found.runs, found.cells)["finding"].tolist()


def test_an_optimizer_that_raises_errors_was_not_tuned_too_little() -> None:
    found = tuned("momentum_any", "sgd", {"momentum_any": [None] * 6, "sgd": [1.0] * 6})
    found.runs.loc[found.runs["optimizer"] == "momentum_any", "status"] = "error"
    assert "inclusion" not in audit(found.trials, found.runs, found.cells)["finding"].tolist()


def test_nothing_is_known_of_results_of_older_versions() -> None:
    found = tuned("momentum_any", "sgd", {"momentum_any": [2.0] * 10, "sgd": [1.0] * 10})
    assert "inclusion" in audit(found.trials, found.runs, found.cells)["finding"].tolist()
    for cells in (found.cells.drop(columns="constructor"), found.cells.assign(constructor=np.nan)):
        assert "inclusion" not in audit(found.trials, found.runs, cells)["finding"].tolist()


@pytest.mark.parametrize(
    ("constructor", "momentum", "names"),
    [(torch.optim.Adam, 0.0, ("beta1",)), (torch.optim.AdamW, 0.0, ("beta1",)), (torch.optim.RMSprop, 0.0, ()),
     (torch.optim.RMSprop, 0.9, ("momentum",))],
)  # fmt: skip
def test_the_limits_of_a_large_eps_are_those_of_torch(
    constructor: Any, momentum: float, names: tuple[str, ...]
) -> None:
    """On a quadratic in double precision, at the rate at which the special case is claimed."""
    eps, rate = 1e9, 0.1
    values = {"betas": (momentum, 0.99)} if "beta1" in names else dict.fromkeys(names, momentum)
    decay = {"weight_decay": 0.0} if constructor is torch.optim.AdamW else {}

    def train(make: Any) -> torch.Tensor:
        weights = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
        optimizer = make([weights])
        for _ in range(20):
            optimizer.zero_grad()
            (torch.arange(1.0, 6.0, dtype=torch.float64) * weights**2).sum().backward()
            optimizer.step()
        return weights.detach()

    limit = train(lambda weights: constructor(weights, lr=rate * eps / 10, eps=eps, **values, **decay))
    exact = train(lambda weights: torch.optim.SGD(weights, lr=rate / 10, momentum=momentum))
    torch.testing.assert_close(limit, exact, rtol=1e-6, atol=1e-8)


def test_the_medians_of_a_finding_count_copies_of_a_seed_once() -> None:
    """Seven copies of one seed would make a median of 2.75 instead of 2.45."""
    found = tuned("momentum_any", "sgd", {"momentum_any": [4.0] * 7 + [2.0 + step / 10 for step in range(9)],
                                          "sgd": [1.0 + step / 100 for step in range(16)]})  # fmt: skip
    for name in ("train_loss", "test_loss"):
        found.runs[name] = found.runs["valid_loss"]
    table = audit(found.trials, found.runs, found.cells)
    [reason] = table.loc[table["finding"] == "inclusion", "reason"]
    assert "median validation loss is 2.450," in reason
