"""The ten optimizers against torch's own signatures and the ranges that make their tuning equal."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch

from optbench import selection
from optbench.optimizers.builtin import BUILT_IN
from optbench.optimizers.decorator import optimizer
from optbench.optimizers.registry import optimizer_spec
from optbench.optimizers.search_space import Range
from optbench.optimizers.spec import OptimizerSpec
from optbench.problem.base import Problem
from tests.support.tiny import Tiny, TinyNet

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

#: Steps with momentum are longer, so these are searched lower than the table says.
SHORTER = {"momentum": 0.1, "nesterov": 0.1}


def signature(spec: OptimizerSpec) -> dict[str, Any]:
    cls = getattr(torch.optim, spec.constructor.removeprefix("torch.optim:"))
    return {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}


def test_there_are_exactly_the_ten() -> None:
    assert list(BUILT_IN) == list(TABLE)
    assert all(name == spec.name for name, spec in BUILT_IN.items())


def test_constructors_are_those_of_the_table() -> None:
    found = {name: (spec.constructor, spec.arguments) for name, spec in BUILT_IN.items()}
    assert found == {name: (f"torch.optim:{cls}", arguments) for name, (cls, arguments, _) in TABLE.items()}


def test_default_learning_rates_are_torchs_own() -> None:
    expected = {name: signature(spec)["lr"] for name, spec in BUILT_IN.items()}
    assert {name: spec.default_lr for name, spec in BUILT_IN.items()} == expected


def test_defaults_of_hyperparameters_are_what_torch_is_given() -> None:
    given = {name: {**signature(spec), **spec.arguments} for name, spec in BUILT_IN.items()}
    expected = {name: {key: given[name][key] for key in spec.hyperparameters} for name, spec in BUILT_IN.items()}
    assert {name: dict(spec.hyperparameters) for name, spec in BUILT_IN.items()} == expected
    assert [name for name, spec in BUILT_IN.items() if not spec.arguments.keys() <= signature(spec).keys()] == []


def test_constructed_as_configured_with_weight_decay_zero() -> None:
    """Torch accepts every hyperparameter that is listed, and the default stays without weight decay."""
    for name, spec in BUILT_IN.items():
        cls = getattr(torch.optim, spec.constructor.removeprefix("torch.optim:"))
        parameter = torch.nn.Parameter(torch.zeros(2))
        plain = cls([parameter], lr=spec.default_lr, **spec.arguments)
        given = cls([parameter], lr=spec.default_lr, **{**spec.arguments, **spec.hyperparameters})
        assert plain.defaults == given.defaults, name
        assert plain.defaults.get("weight_decay", 0) == 0, name
        assert not plain.defaults.get("maximize", False), name


def test_ranges_on_networks_are_four_decades_and_hold_the_default() -> None:
    found = {name: spec.configured({}).search_space(TinyNet()) for name, spec in BUILT_IN.items()}
    declared = {name: Range(*bounds) for name, (_, _, bounds) in TABLE.items()}
    assert found == {name: {"lr": rates.scaled(SHORTER.get(name, 1.0))} for name, rates in declared.items()}
    decades = {name: math.log10(space["lr"].high / space["lr"].low) for name, space in found.items()}
    assert decades == pytest.approx(dict.fromkeys(found, 4), abs=1e-12)
    assert [name for name, spec in BUILT_IN.items() if not found[name]["lr"].contains(spec.default_lr)] == []


@pytest.mark.parametrize("condition", [1.0, 100.0])
def test_ranges_on_quadratics_follow_the_curvature(condition: float) -> None:
    found = {name: spec.configured({}).search_space(Tiny(condition=condition)) for name, spec in BUILT_IN.items()}
    steep = Range(4e-4 / condition, 4 / condition)
    follows = {"sgd": steep, **{name: steep.scaled(shorter) for name, shorter in SHORTER.items()}}
    assert found == {name: {"lr": follows.get(name, Range(1e-3, 1e1))} for name in BUILT_IN}


@pytest.mark.parametrize(
    ("chosen", "bounds"),
    [
        ("momentum[momentum=0.99]", (1e-5, 1e-1)),
        ("sgd[momentum=0.5]", (5e-4, 5.0)),
        ("momentum[dampening=0.9]", (1e-3, 1e1)),
        ("momentum[momentum=1.5]", (1e-3, 1e1)),
    ],
)
def test_ranges_shorten_by_the_momentum_that_is_fixed(chosen: str, bounds: tuple[float, float]) -> None:
    [selected] = selection.parse(chosen)
    space = BUILT_IN[selected.name].configured(dict(selected.parameters)).search_space(TinyNet())
    assert space["lr"].bounds == pytest.approx(list(bounds))


class TestOwnClasses:
    """A class that derives from SGD is searched like SGD, and a range that is declared holds everywhere."""

    def space(self, name: str, problem: Problem) -> Any:
        return optimizer_spec(f"{__file__}:{name}").configured({}).search_space(problem)["lr"]

    def test_a_subclass_of_sgd_follows_the_curvature_and_its_momentum(self) -> None:
        assert self.space("PlainSGD", Tiny(condition=100.0)) == Range(4e-6, 4e-2)
        assert self.space("PlainSGD", TinyNet()) == Range(1e-3, 1e1)
        assert self.space("Heavy", TinyNet()) == Range(1e-4, 1e0)

    def test_a_declared_range_holds_on_quadratics_too(self) -> None:
        for problem in (Tiny(condition=100.0), TinyNet()):
            assert self.space("Declared", problem) == Range(1e-6, 1e-2)
            assert self.space("DECLARED", problem) == Range(1e-6, 1e-2)


class PlainSGD(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, lr=lr)


class Heavy(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 1e-3, momentum: float = 0.9) -> None:
        super().__init__(params, lr=lr, momentum=momentum)


@optimizer(lr=(1e-6, 1e-2))
class Declared(PlainSGD):
    pass


DECLARED = OptimizerSpec(
    name="declared", constructor="torch.optim:SGD", default_lr=1e-3, learning_rate=Range(1e-6, 1e-2)
)


def test_every_rule_and_source_is_given() -> None:
    assert [name for name, spec in BUILT_IN.items() if "←" not in spec.rule] == []
    assert [name for name, spec in BUILT_IN.items() if not any(map(str.isdigit, spec.source))] == [], "without a year"


def test_only_lbfgs_needs_a_closure() -> None:
    assert [name for name, spec in BUILT_IN.items() if spec.needs_closure] == ["lbfgs"]
