"""What an optimizer brings into a cell: hyperparameters without a value, and notes on schedules that meet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.config.load import configure
from optbench.planning.matrix import Cell, Plan, make_plan
from tests.support.tiny import TINY, TINY_NET

SCHEDULED = {"lr_schedule": ["constant", "linear"]}
TABLES = {
    "fixed_warmup": {"base": "adamw", "arguments": {"lr_warmup": 0.5}, "search": SCHEDULED},
    "conditional": {
        "base": "momentum",
        "arguments": {"dampening": 0.5, "lr_warmup": 0.5},
        "search": {
            **SCHEDULED,
            "lr_warmup": {"low": 0.1, "high": 0.6, "scale": "linear", "when": {"lr_schedule": "linear"}},
            "dampening": {"values": [0.0, 0.5], "when": {"lr_schedule": "linear"}},
        },
    },
}


def plan(*optimizers: str, **choices: Any) -> Plan:
    choices = {"problems": [TINY], "optimizer": TABLES, "batch_sizes": [10], **choices}
    return make_plan(configure(optimizers=list(optimizers), **choices))


def cell(optimizer: str, **choices: Any) -> Cell:
    [found] = plan(optimizer, **choices).cells
    return found


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    return optbench.run(
        problems=[TINY_NET], optimizers=list(TABLES), optimizer=TABLES, batch_sizes=[10], seeds=1, tuning_worth=8,
        engine="serial", outputs=False, results=tmp_path_factory.mktemp("results"), name="tuned",
    )  # fmt: skip


def test_what_is_not_tried_has_no_value_and_what_is_fixed_has_one(tuned: optbench.Results) -> None:
    trials = tuned.trials.set_index("optimizer")
    conditional = trials.loc["conditional"]
    constant = conditional["hp_lr_schedule"] == "constant"
    assert 0 < constant.sum() < len(constant)
    for name in ("hp_lr_warmup", "hp_dampening"):
        assert (conditional[name].isna() == constant).all()
    assert set(trials.loc["fixed_warmup", "hp_lr_warmup"]) == {0.5}


@pytest.mark.parametrize(
    ("optimizer", "hyperparameters", "factors", "dampening"),
    [
        ("conditional", {"lr_schedule": "constant"}, (1.0, 1.0), 0.0),
        ("conditional", {"lr_schedule": "linear", "lr_warmup": 0.5, "dampening": 0.5}, (0.5, 1.0), 0.5),
        ("conditional[lr_schedule=constant]", {}, (1.0, 1.0), 0.0),
        ("conditional[lr_schedule=constant,lr_warmup=0.5]", {}, (0.5, 1.0), 0.0),
        ("fixed_warmup", {"lr_schedule": "constant"}, (0.5, 1.0), None),
        ("adamw_scheduled", {"lr_schedule": "constant", "weight_decay": 0.1}, (1.0, 1.0), None),
        ("adamw_scheduled[lr_schedule=constant]", {"weight_decay": 0.1}, (1.0, 1.0), None),
    ],
)
def test_what_runs_is_what_the_frames_say(
    optimizer: str, hyperparameters: dict[str, Any], factors: tuple[float, float], dampening: float | None
) -> None:
    """The factors of the rate after a quarter and after half of the budget."""
    from optbench.training.construct import make_optimizer
    from optbench.training.stepper import _schedule

    found = cell(optimizer)
    values = {"lr": 0.1, **hyperparameters}
    schedule = _schedule(found, values)
    assert tuple(schedule(share) if schedule else 1.0 for share in (0.25, 0.5)) == factors
    if dampening is not None:
        group = make_optimizer(found.optimizer, found.problem.make().model(), values).param_groups[0]
        assert group["dampening"] == dampening


def test_only_tunings_with_such_hyperparameters_have_another_identity() -> None:
    assert "inactive" in cell("conditional").identity
    assert "inactive" in cell("adamw_scheduled").identity
    assert "inactive" not in cell("adamw_scheduled", tuning_worth=0).identity
    for name in ("fixed_warmup", "adamw", "adamw_scheduled[lr_schedule=cosine]"):
        assert "inactive" not in cell(name).identity


FILE = """
import torch

class Told(torch.optim.SGD):
    def __init__(self, params, total_steps, lr=0.1):
        super().__init__(params, lr=lr)

class Plain(torch.optim.SGD):
    def __init__(self, params, batch_size, lr=0.1):
        super().__init__(params, lr=lr)
"""


def test_two_schedules_that_meet_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    told, plain = f"{file}:Told", f"{file}:Plain"
    words = "optimizer Told receives the length of the training (total_steps); if it has a schedule of its own, "
    assert plan(told, plain, "adam", schedules=["constant", "cosine"]).notes == (
        f"{words}schedule cosine multiplies with that",
    )
    assert plan(f"{told}[lr_schedule=cosine]").notes == (
        "optimizer Told[lr_schedule=cosine] receives the length of the training (total_steps); if it has a schedule of "
        "its own, its lr_schedule or lr_warmup multiplies with that",
    )
    given = {"mine": {"class": told, "arguments": {"total_steps": 100}}}
    assert "total_steps" in plan("mine", optimizer=given, schedules=["cosine"]).notes[0]
    assert plan(told, plain, "adamw_scheduled", "adam").notes == ()


def test_arguments_that_tell_the_length_are_recorded(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    tables = {"given": {"class": f"{file}:Told", "arguments": {"total_steps": 100}}}
    names = {f"{file}:Told": ["total_steps"], f"{file}:Told[total_steps=50]": ["total_steps"], "given": ["total_steps"],
             f"{file}:Plain": [], "adam": [], "adamw_scheduled": []}  # fmt: skip
    found = {name: plan(name, optimizer=tables).cells[0].record() for name in names}
    assert {name: record["length_arguments"] for name, record in found.items()} == names


SGD = "torch.optim:SGD"
VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "by_base": ({"base": "nadam", "search": {"beta1": {"low": 0.5, "high": 0.9}}}, "nadam"),
    "by_class": ({"class": "torch.optim:NAdam", "arguments": {"decoupled_weight_decay": True}}, "nadam"),
    "scheduled": ({"base": "adamw_scheduled"}, "adamw"),
    "heavy": ({"class": SGD, "default_lr": 0.1, "arguments": {"momentum": 0.8}}, "momentum"),
    "searched": ({"class": SGD, "default_lr": 0.1, "search": {"momentum": {"low": 0.5, "high": 0.9}}}, "momentum"),
    "ahead": ({"class": SGD, "default_lr": 0.1, "arguments": {"momentum": 0.8, "nesterov": True}}, "nesterov"),
    "plain": ({"class": SGD, "default_lr": 0.1}, "sgd"),
    "declared": ({"base": "sgd", "arguments": {"momentum": 0.8}}, "sgd"),
    "one_of_its_class": ({"class": "torch.optim:LBFGS"}, "lbfgs"),
    "without_another": ({"class": "torch.optim:ASGD"}, "asgd"),
    "two_at_once": (
        {"base": "sgd", "groups": {"last": {"parameters": ["*bias"], "class": "torch.optim:AdamW"}}}, "two_at_once",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_know_their_optimizer(name: str) -> None:
    table, base = VARIANTS[name]
    [found] = make_plan(
        configure(optimizers=[name], problems=[TINY_NET], optimizer={name: table}, batch_sizes=[10])
    ).cells
    assert found.record()["base"] == base


def test_selections_know_their_optimizer() -> None:
    names = ["adamw_scheduled", "sgd[momentum=0.5]", "torch.optim:NAdam", "momentum"]
    assert [cell.record()["base"] for cell in plan(*names).cells] == ["adamw", "sgd", "nadam", "momentum"]


def test_names_of_optimizers_are_not_in_the_ids_of_cells() -> None:
    found = cell("conditional")
    assert "base" not in found.optimizer.identity
    assert replace(found, optimizer=replace(found.optimizer, base="other")).id == found.id


def test_the_record_names_the_method_with_its_groups_and_without_folders(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    grouped = {
        "grouped": {"base": "adam", "groups": {"rest": {"parameters": ["*.bias"], "arguments": {"weight_decay": 0.0}}}}
    }
    found = {name: plan(name, optimizer=grouped).cells[0].record()["constructor"] for name in ("adam", "grouped")}
    assert found["adam"] == "torch.optim:Adam"
    assert found["grouped"].startswith('torch.optim:Adam [{"rest"')
    assert plan(f"{file}:Plain").cells[0].record()["constructor"] == f"{file.name}:Plain"


def test_a_sampler_that_does_not_model_conditions_is_noted_once() -> None:
    note = (
        "sampler gp models only hyperparameters that every trial has: lr_warmup and dampening of optimizer "
        "conditional, tried under a condition, may be drawn at random (tpe models them)"
    )
    found = plan("conditional", "fixed_warmup", tuning_sampler="gp", batch_sizes=[10, 20])
    assert [text for text in found.notes if "sampler" in text] == [note]
    for choices in ({"tuning_sampler": "tpe"}, {"tuning_sampler": "gp", "tuning_worth": 0}):
        assert not any("sampler" in text for text in plan("conditional", **choices).notes)
