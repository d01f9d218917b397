"""The author API of optimizers: ranges, and hyperparameters that a selection fixes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.errors import UserError
from optbench.optimizers.registry import optimizer_spec
from optbench.optimizers.search_space import Range
from optbench.optimizers.spec import OptimizerSpec
from tests.support.tiny import Tiny, TinyNet

SPEC = OptimizerSpec(
    name="mine",
    constructor="torch.optim:Adam",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    arguments={"betas": (0.8, 0.9)},
    hyperparameters={"eps": 1e-8, "betas": (0.8, 0.9), "amsgrad": False, "mode": "fast", "steps": 0, "cap": None,
                     "power": -0.5},
    search={"eps": Range(1e-10, 1e-2)},
)  # fmt: skip


@given(st.floats(1e-6, 1.0), st.floats(2.0, 1e6), st.floats(0, 1), st.booleans())
def test_position_is_zero_at_the_low_edge_and_one_at_the_high(low: float, high: float, share: float, log: bool) -> None:
    found = Range(low, high, log)
    assert found.position(low) == 0
    assert found.position(high) == pytest.approx(1)
    value = low * (high / low) ** share if log else low + (high - low) * share
    assert found.position(value) == pytest.approx(share, abs=1e-9)


def test_extension_adds_a_decade_beyond_one_edge() -> None:
    low, high = Range(1e-3, 1e1).extended("low"), Range(1e-3, 1e1).extended("high")
    assert (low.low, low.high) == (pytest.approx(1e-4), 1e1)
    assert (high.low, high.high) == (1e-3, pytest.approx(1e2))


def test_edges_belong_to_a_range() -> None:
    assert Range(1, 2).contains(1)
    assert Range(1, 2).contains(2)
    assert not Range(1, 2).contains(2.0001)
    assert not Range(1, 2).contains(math.nan)


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(1, 1, True), (2, 1, True), (0, 1, True), (-1, 1, True), (1, math.inf, True), (math.nan, 1, False), (1, 0, False)],
)
def test_impossible_ranges(low: float, high: float, log: bool) -> None:
    with pytest.raises(UserError, match=r"search range = .* is out of range"):
        Range(low, high, log)


def test_configured_without_anything_is_the_optimizer_itself() -> None:
    configured = SPEC.configured({})
    assert configured.arguments == SPEC.arguments
    assert (configured.default_lr, configured.lr_fixed) == (1e-3, False)
    assert configured.search_space(TinyNet()) == {"lr": Range(1e-5, 1e-1), "eps": Range(1e-10, 1e-2)}


def test_what_is_fixed_is_not_searched() -> None:
    configured = SPEC.configured({"lr": 1, "eps": 1e-3})
    assert configured.arguments == {"betas": (0.8, 0.9), "eps": 1e-3}
    assert (configured.default_lr, configured.lr_fixed) == (1.0, True)
    assert configured.search_space(TinyNet()) == {}


def test_values_take_the_type_of_the_default_so_that_equal_things_are_equal() -> None:
    configured = SPEC.configured({"lr": 1, "eps": 1})
    assert repr((configured.default_lr, configured.arguments["eps"])) == "(1.0, 1.0)"


def test_a_range_may_ignore_the_curvature() -> None:
    free = OptimizerSpec("mine", "torch.optim:SGD", 1.0, Range(1, 2), family="sgd", follows_curvature=False)
    assert free.configured({}).search_space(Tiny()) == {"lr": Range(1, 2)}


def test_quadratics_of_unknown_curvature_are_searched_like_networks() -> None:
    class Unknown(Tiny):
        @property
        def curvature(self) -> None:  # type: ignore[override]
            return None

    assert SPEC.configured({}).search_space(Unknown())["lr"] == SPEC.learning_rate


@pytest.mark.parametrize(
    ("key", "value"),
    [("eps", 1), ("eps", 0.0), ("betas", (0.1, 1)), ("amsgrad", True), ("mode", "slow"), ("mode", None), ("steps", 0.5),
     ("cap", "anything"), ("cap", 3), ("power", -1), ("lr", 0.5)],
)  # fmt: skip
def test_values_that_fit(key: str, value: Any) -> None:
    configured = SPEC.configured({key: value})
    assert (configured.default_lr if key == "lr" else configured.arguments[key]) == value


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("eps", -1.0, "a number of at least 0"),
        ("eps", "small", "a number of at least 0"),
        ("eps", True, "a number of at least 0"),
        ("eps", math.nan, "a number of at least 0"),
        ("eps", math.inf, "a number of at least 0"),
        ("lr", -1, "a number above 0"),
        ("lr", 0.0, "a number above 0"),
        ("lr", None, "a number of at least 0"),
        ("steps", "x", "a number of at least 0"),
        ("betas", 0.9, "2 numbers in parentheses, as in (0.8, 0.9)"),
        ("betas", (0.9,), "2 numbers in parentheses, as in (0.8, 0.9)"),
        ("betas", (0.9, "x"), "2 numbers in parentheses, as in (0.8, 0.9)"),
        ("amsgrad", 1, "true or false"),
        ("amsgrad", "yes", "true or false"),
        ("mode", 3, "a string such as fast, or none"),
    ],
)
def test_values_that_do_not_fit(key: str, value: Any, accepted: str) -> None:
    with pytest.raises(UserError) as caught:
        SPEC.configured({key: value})
    number = "a number" in accepted and isinstance(value, (int, float)) and value is not True
    problem = "is out of range" if number else "is not valid"
    assert str(caught.value) == f"mine[{key}] = {value!r} {problem} (accepted: {accepted})"


def test_unknown_hyperparameters() -> None:
    with pytest.raises(UserError, match=r"unknown hyperparameter of mine 'epz'; did you mean 'eps'\? \(accepted: ams"):
        SPEC.configured({"epz": 1})


def test_an_optimizer_without_a_learning_rate_has_none_to_fix() -> None:
    free = OptimizerSpec("free", "somewhere:Free", default_lr=None, learning_rate=None, hyperparameters={"x": 1.0})
    assert free.configured({}).search_space(TinyNet()) == {}
    with pytest.raises(UserError, match=r"unknown hyperparameter of free 'lr' \(accepted: average_decay, .*, x\)"):
        free.configured({"lr": 1})


def test_entries_of_betas_are_hyperparameters_of_their_own() -> None:
    chosen = optimizer_spec("adam").configured({"beta1": 0.5})
    assert chosen.arguments == {"beta1": 0.5}
    assert {key: chosen.defaults[key] for key in ("beta1", "beta2")} == {"beta1": 0.5, "beta2": 0.999}
    assert "beta1" not in optimizer_spec("sgd").known
    assert {"rest.beta1", "rest.beta2"} < optimizer_spec("muon").known.keys()
    assert "beta3" in optimizer_spec("adan").known


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"beta1": 1.0}, "adam[beta1] = 1.0 is out of range (accepted: a number of at least 0 and below 1)"),
        ({"beta2": -0.1}, "adam[beta2] = -0.1 is out of range (accepted: a number of at least 0 and below 1)"),
        ({"beta1": True}, "adam[beta1] = True is not valid (accepted: a number of at least 0 and below 1)"),
        ({"beta1": 0.5, "betas": (0.9, 0.99)}, "adam has both betas and beta1, which is one of its entries (accepted: "
         "one)"),
    ],
)  # fmt: skip
def test_entries_of_betas_that_do_not_fit(parameters: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as refused:
        optimizer_spec("adam").configured(parameters)
    assert str(refused.value) == line
