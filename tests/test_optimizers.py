"""The ten optimizers against torch's own signatures and the ranges that make their tuning equal."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch

from optbench.optimizers import BUILT_IN
from optbench.ranges import Range
from optbench.spec import OptimizerSpec
from tests.support.tiny import Tiny, TinyNet

SPECS = pytest.mark.parametrize("spec", BUILT_IN.values(), ids=BUILT_IN)

#: The table of the issue: constructor's arguments and the range on networks.
TABLE: dict[str, tuple[str, dict[str, Any], tuple[float, float]]] = {
    "sgd": ("SGD", {}, (1e-3, 1e1)),
    "momentum": ("SGD", {"momentum": 0.9}, (1e-3, 1e1)),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}, (1e-3, 1e1)),
    "adam": ("Adam", {}, (1e-5, 1e-1)),
    "adagrad": ("Adagrad", {}, (1e-4, 1e0)),
    "adadelta": ("Adadelta", {}, (1e-2, 1e2)),
    "rmsprop": ("RMSprop", {}, (1e-5, 1e-1)),
    "adamax": ("Adamax", {}, (2e-5, 2e-1)),
    "nadam": ("NAdam", {}, (1e-5, 1e-1)),
    "lbfgs": (
        "LBFGS",
        {"max_iter": 1, "max_eval": 25, "history_size": 10, "line_search_fn": "strong_wolfe"},
        (1e-3, 1e1),
    ),
}  # fmt: skip


def signature(spec: OptimizerSpec) -> dict[str, Any]:
    cls = getattr(torch.optim, spec.constructor.removeprefix("torch.optim:"))
    return {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}


def test_there_are_exactly_the_ten() -> None:
    assert list(BUILT_IN) == list(TABLE)
    assert all(name == spec.name for name, spec in BUILT_IN.items())


@SPECS
def test_constructors_are_those_of_the_table(spec: OptimizerSpec) -> None:
    cls, arguments, _ = TABLE[spec.name]
    assert spec.constructor == f"torch.optim:{cls}"
    assert spec.arguments == arguments


@SPECS
def test_the_default_learning_rate_is_torchs_own(spec: OptimizerSpec) -> None:
    assert spec.default_lr == signature(spec)["lr"]


@SPECS
def test_defaults_of_hyperparameters_are_what_torch_is_given(spec: OptimizerSpec) -> None:
    defaults = {**signature(spec), **spec.arguments}
    assert spec.hyperparameters == {name: defaults[name] for name in spec.hyperparameters}
    assert spec.arguments.items() <= defaults.items()


@SPECS
def test_constructed_as_configured_with_weight_decay_zero(spec: OptimizerSpec) -> None:
    """Torch accepts every hyperparameter that is listed, and the default stays without weight decay."""
    cls = getattr(torch.optim, spec.constructor.removeprefix("torch.optim:"))
    parameter = torch.nn.Parameter(torch.zeros(2))
    plain = cls([parameter], lr=spec.default_lr, **spec.arguments)
    given = cls([parameter], lr=spec.default_lr, **{**spec.arguments, **spec.hyperparameters})
    assert plain.defaults == given.defaults
    assert plain.defaults.get("weight_decay", 0) == 0
    assert not plain.defaults.get("maximize", False)


@SPECS
def test_ranges_on_networks_are_four_decades(spec: OptimizerSpec) -> None:
    found = spec.configured({}).search_space(TinyNet())
    assert found == {"lr": Range(*TABLE[spec.name][2])}
    assert math.log10(found["lr"].high / found["lr"].low) == pytest.approx(4, abs=1e-12)
    assert spec.default_lr is not None
    assert found["lr"].contains(spec.default_lr)


@SPECS
@pytest.mark.parametrize("condition", [1.0, 100.0])
def test_ranges_on_quadratics_follow_the_curvature(spec: OptimizerSpec, condition: float) -> None:
    [found] = spec.configured({}).search_space(Tiny(condition=condition)).values()
    follows = spec.name in ("sgd", "momentum", "nesterov")
    assert found == (Range(1e-4 / condition, 4 / condition) if follows else Range(1e-3, 1e1))


@SPECS
def test_every_rule_and_source_is_given(spec: OptimizerSpec) -> None:
    assert "←" in spec.rule
    assert any(char.isdigit() for char in spec.source)  # a year


def test_only_lbfgs_needs_a_closure() -> None:
    assert [name for name, spec in BUILT_IN.items() if spec.needs_closure] == ["lbfgs"]
