"""What the signature of a class says: parameters that it passes on, and rates by other names."""

from __future__ import annotations

import pytest

from optbench.config.load import configure
from optbench.optimizers.registry import is_count, optimizer_spec
from optbench.optimizers.search_space import active_hyperparameters
from optbench.planning.matrix import make_plan
from tests.support.passes import PASSES
from tests.support.tiny import TINY


def test_a_subclass_that_passes_its_arguments_on_has_those_of_its_base() -> None:
    spec = optimizer_spec(f"{PASSES}:PassingOn")
    assert spec.default_lr == 1e-3
    assert spec.learning_rate is not None
    assert {"betas", "eps", "weight_decay", "amsgrad"} <= set(spec.hyperparameters)


def test_a_default_may_be_a_tensor() -> None:
    assert optimizer_spec(f"{PASSES}:TensorDefault").default_lr == 0.25


def test_a_rate_by_another_name_is_remarked_on() -> None:
    plan = make_plan(configure(problems=[TINY], optimizers=[f"{PASSES}:OtherName", "adam"]))
    [note] = [note for note in plan.notes if "learning_rate" in note]
    assert note.startswith("learning_rate of optimizer OtherName looks like its learning rate and is not tuned")
    fixed = make_plan(configure(problems=[TINY], optimizers=[f"{PASSES}:OtherName[learning_rate=0.1]"]))
    assert not any("learning_rate" in note for note in fixed.notes)


@pytest.mark.parametrize(
    ("default", "low", "high", "whole"),
    [
        (10, 1, 20, True), (1, 1, 10, True), (1, 0.5, 10, False), (0, 0, 1, False), (1.0, 1, 10, False),
        (True, 1, 2, False),
    ],
)  # fmt: skip
def test_what_counts_is_searched_in_whole_numbers(default: object, low: float, high: float, whole: bool) -> None:
    assert is_count(default, low, high) is whole


def test_a_period_in_toml_is_whole() -> None:
    table = {"base": "lbfgs", "search": {"max_iter": {"low": 1, "high": 8}}}
    plan = make_plan(configure(problems=[TINY], optimizers=["lazy"], optimizer={"lazy": table}))
    assert plan.cells[0].optimizer.search["max_iter"].at(0.4) == 2


@pytest.mark.parametrize("when", [[0.9, 0.999], [[0.9, 0.999]]])
def test_lists_of_tuples_and_conditions_on_them_in_toml(when: list[object]) -> None:
    eps = {"low": 1e-9, "high": 1e-4, "when": {"betas": when}}
    table = {"base": "adam", "search": {"betas": {"values": [[0.9, 0.999], [0.5, 0.9]]}, "eps": eps}}
    plan = make_plan(configure(problems=[TINY], optimizers=["pairs"], optimizer={"pairs": table}))
    choice = plan.cells[0].optimizer
    assert choice.search["betas"].bounds == [(0.9, 0.999), (0.5, 0.9)]
    assert active_hyperparameters(choice.search, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-8}) == {"lr", "betas"}
    assert "eps" in active_hyperparameters(choice.search, {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8})
