"""Hyperparameters without effect are noted, and those with one are not accused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optbench.config.load import configure
from optbench.config.presets import preset
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.planning.matrix import make_plan
from optbench.runner.effects import describe_idle
from optbench.runner.preflight import check_optimizers
from tests.support.tiny import TINY_NET

MOMENTUM = {"low": 0.5, "high": 0.99, "scale": "linear"}
HALF = {"low": 0.1, "high": 0.9, "scale": "linear"}
DECAY = {"low": 1e-6, "high": 1e-2, "zero": True}
CLIP = {"low": 1e2, "high": 1e3}
RPROP_LAST = {"last": {"parameters": ["*bias"], "class": "torch.optim:Rprop"}}
ADAMW_LAST = {"last": {"parameters": ["*bias"], "class": "torch.optim:AdamW"}}


def notes_of(name: str, table: dict[str, Any] | None = None) -> list[str]:
    tables = {} if table is None else {name: table}
    config = configure(optimizers=[name], optimizer=tables, problems=[TINY_NET], batch_sizes=[10])
    return [note.partition(" (")[0] for note in check_optimizers(make_plan(config).cells)]


IDLE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "signs": ({"base": "rprop", "arguments": {"clip_norm": 1.0}}, ["clip_norm of optimizer signs has no effect"]),
    "values": ({"base": "rprop", "search": {"clip_value": CLIP}}, ["clip_value of optimizer values has no effect"]),
    "damped": ({"base": "sgd", "search": {"dampening": HALF}}, ["dampening of optimizer damped has no effect"]),
    "decoupled": (
        {"class": "torch.optim:NAdam", "search": {"decoupled_weight_decay": [False, True]}},
        ["decoupled_weight_decay of optimizer decoupled has no effect"],
    ),
    "dropped": (
        {"base": "adamw", "groups": RPROP_LAST},
        ["weight_decay of optimizer dropped has no effect on group last, which torch.optim:Rprop updates"],
    ),
    "fixed": (
        {"base": "momentum", "arguments": {"weight_decay": 0.1}, "groups": RPROP_LAST},
        ["weight_decay of optimizer fixed has no effect on group last, which torch.optim:Rprop updates"],
    ),
    "half_clipped": (
        {"base": "rprop", "arguments": {"clip_norm": 1.0}, "groups": ADAMW_LAST},
        ["clip_norm of optimizer half_clipped has no effect on the parameters that torch.optim:Rprop updates"],
    ),
}  # fmt: skip
ACTIVE: dict[str, dict[str, Any]] = {
    "clipped": {"base": "adam", "search": {"clip_norm": CLIP, "clip_value": CLIP}},
    "with_momentum": {"base": "sgd", "search": {"dampening": HALF, "momentum": MOMENTUM}},
    "two_decays": {
        "class": "torch.optim:NAdam",
        "search": {"weight_decay": DECAY, "decoupled_weight_decay": [False, True]},
    },
    "shared": {"base": "momentum", "search": {"weight_decay": DECAY}, "groups": ADAMW_LAST},
    "amsgrad": {"base": "adam", "search": {"amsgrad": [False, True], "eps": {"low": 1e-10, "high": 1e-4}}},
    "no_decay_of_biases": {
        "base": "adamw",
        "groups": {"bias": {"parameters": ["*bias"], "arguments": {"weight_decay": 0.0}}},
    },
    "averaged": {"base": "sgd", "search": {"average_share": {"low": 0.1, "high": 0.9, "zero": True}}},
    "scheduled": {"base": "sgd", "search": {"lr_schedule": ["constant", "linear"]}},
}


@pytest.mark.parametrize("name", IDLE)
def test_what_has_no_effect_is_noted(name: str) -> None:
    table, expected = IDLE[name]
    assert notes_of(name, table) == expected


@pytest.mark.parametrize("name", ACTIVE)
def test_what_has_an_effect_is_not(name: str) -> None:
    assert notes_of(name, ACTIVE[name]) == []


#: Those of torch that fit any model.
TORCH = [name for name, spec in REGISTERED_OPTIMIZERS.items() if not spec.package and name != "sparse_adam"]


@pytest.mark.parametrize("name", TORCH)
def test_registered_optimizers_have_no_notes(name: str) -> None:
    assert notes_of(name) == []


def test_the_recipes_have_no_notes() -> None:
    names = preset("recipe")["optimizers"]
    config = configure(preset="recipe", optimizers=names, problems=[TINY_NET], batch_sizes=[10])
    assert check_optimizers(make_plan(config).cells) == []


def test_neither_model_nor_random_numbers_change() -> None:
    table = {"base": "momentum", "search": {"weight_decay": DECAY, "momentum": MOMENTUM}}
    config = configure(optimizers=["mine"], optimizer={"mine": table}, problems=[TINY_NET], batch_sizes=[10])
    [cell] = make_plan(config).cells
    torch.manual_seed(7)
    model = torch.nn.Linear(2, 2)
    before, state = [parameter.clone() for parameter in model.parameters()], torch.get_rng_state()
    assert describe_idle(cell.optimizer, model) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
