"""Parameter groups: each steps at its own rate and momentum, and every parameter is in one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.runner.preflight import check_optimizers
from optbench.training.construct import describe_optimizer, make_optimizer
from optbench.training.device_data import load
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from tests.support.tiny import TINY_NET, TinyNet

RATES = {"low": 1e-3, "high": 1.0}


def cell(groups: dict[str, Any], base: str = "momentum", **choices: Any) -> Cell:
    optimizer = {"grouped": {"base": base, "groups": groups}}
    [found] = make_plan(configure(problems=[TINY_NET], optimizers=["grouped"], optimizer=optimizer, batch_sizes=[10],
                                  devices=["cpu"], **choices)).cells  # fmt: skip
    return found


BIAS = {"bias": {"parameters": ["*.bias"], "arguments": {"momentum": 0.5}, "search": {"lr": RATES}}}


def test_each_group_follows_its_own_rule() -> None:
    """Momentum by its rule in NumPy: rate and momentum of the weights are the optimizer's, of the biases their own."""
    chosen = cell(BIAS)
    model = TinyNet().model()
    optimizer = make_optimizer(chosen.optimizer, model, {"lr": 0.1, "bias.lr": 0.7})
    settings = {"1.weight": (0.1, 0.9), "1.bias": (0.7, 0.5)}
    expected = {name: p.detach().double().numpy().copy() for name, p in model.named_parameters()}
    speed = {name: np.zeros_like(value) for name, value in expected.items()}
    random = np.random.default_rng(0)
    for _ in range(5):
        for name, parameter in model.named_parameters():
            gradient = random.standard_normal(parameter.shape)
            parameter.grad = torch.from_numpy(gradient).float()
            rate, momentum = settings[name]
            speed[name] = momentum * speed[name] + gradient
            expected[name] -= rate * speed[name]
        optimizer.step()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(parameter.detach(), expected[name], rtol=1e-5, atol=1e-6)


def test_what_was_constructed_names_every_group() -> None:
    made = make_optimizer(cell(BIAS).optimizer, TinyNet().model(), {"lr": 0.1, "bias.lr": 0.7})
    groups = describe_optimizer(made)["groups"]
    assert [(g["parameters"], g["lr"], g["momentum"]) for g in groups] == [(12, 0.1, 0.9), (3, 0.7, 0.5)]


def test_a_schedule_multiplies_all_rates_alike() -> None:
    chosen = cell(BIAS, schedules=["step[at=0.5,factor=0.5]"], run_budget="40examples")
    problem, data = load(chosen.problem, DataSource(Path("unused"), download=False), "cpu")
    from optbench.budget import Ledger
    from optbench.training.stepper import Stepper

    stepper = Stepper(chosen, problem, data, {"lr": 0.1, "bias.lr": 0.7}, 0, Ledger(40))
    seen = []
    for _ in range(4):
        stepper.step()
        seen.append([group["lr"] for group in stepper.optimizer.param_groups])
    assert seen == [[0.1, 0.7]] * 2 + [[0.05, 0.35]] * 2


def test_groups_are_tuned_beside_the_rate_and_trained_one_by_one() -> None:
    chosen = cell(BIAS)
    assert set(chosen.optimizer.search) == {"lr", "bias.lr"}
    assert chosen.optimizer.defaults == {"lr": 1e-3, "bias.lr": 1e-3}
    assert chosen.execution.name == "eager"
    fixed = cell({"bias": {"parameters": ["*.bias"], "arguments": {"lr": 0.5}}})
    assert set(fixed.optimizer.search) == {"lr"}
    assert (fixed.execution.name, fixed.execution.reason) == ("eager", "parameter groups have rates of their own")


def test_groups_that_change_nothing_change_no_figure() -> None:
    """All parameters in one group at the common rate: bit by bit the training without groups."""
    source = DataSource(Path("unused"), download=False)
    grouped = cell({"all": {"parameters": ["*"]}})
    plain = make_plan(configure(problems=[TINY_NET], optimizers=["momentum"], batch_sizes=[10], devices=["cpu"]))
    ends = []
    for chosen in (grouped, plain.cells[0]):
        problem, data = load(chosen.problem, source, "cpu")
        [record] = Trainer(chosen, problem, data).train([Replica({"lr": 0.1}, 0)], 200, test=True)
        assert record.status == "ok", record.traceback
        ends.append((record.test_loss, record.points))
    assert ends[0] == ends[1]
    assert grouped.id != plain.cells[0].id


@pytest.mark.parametrize(
    ("groups", "complaint"),
    [
        ({"head": {"parameters": ["2.*"]}}, "unknown parameters of group head of grouped '2.*' (accepted: 1.bias, 1"),
        (
            {"one": {"parameters": ["1.*"]}, "two": {"parameters": ["*.bias"]}},
            "parameter 1.bias is in group two of grouped and in another group",
        ),
    ],
)  # fmt: skip
def test_groups_that_do_not_fit_the_model_are_refused_before_anything_is_trained(
    groups: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_optimizers([cell(groups)])
    assert complaint in str(caught.value)
