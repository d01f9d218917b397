"""The preset `recipe`: every optimizer is tuned in a space of its own, which its cells' ids contain."""

from __future__ import annotations

import pytest

from optbench.config.load import configure, load_config
from optbench.config.optimizer_table import build_spec
from optbench.config.presets import preset
from optbench.optimizers.registry import optimizer_spec
from optbench.optimizers.search_space import Range
from optbench.planning.matrix import Cell, make_plan
from optbench.training.construct import make_optimizer
from tests.support.tiny import TINY_NET, TinyNet

TABLES = preset("recipe")["optimizer"]
#: Those that come with torch, of which the preset runs every one.
TORCH = [name for name in TABLES if name in preset("recipe")["optimizers"]]


@pytest.fixture(scope="module")
def cells() -> dict[str, Cell]:
    chosen = configure(preset="recipe", problems=[TINY_NET], batch_sizes=[10], devices=["cpu"])
    return {cell.optimizer.name: cell for cell in make_plan(chosen).cells}


def test_it_runs_what_torch_has_and_declares_the_rest() -> None:
    assert [name for name in load_config("recipe").optimizers if name in TABLES] == TORCH
    packages = {name: optimizer_spec(TABLES[name]["base"]).extra for name in TABLES.keys() - TORCH}
    assert packages == dict.fromkeys(
        ("lion_recipe", "soap_recipe", "schedule_free_adamw_recipe", "prodigy_recipe"), "zoo"
    )


def test_each_is_tuned_in_every_dimension_that_it_has() -> None:
    for name, table in load_config("recipe").optimizer.items():
        spec = build_spec(name, table)
        searched = {"lr", *spec.search} if spec.learning_rate else {*spec.search}
        decay = "decay_per_step" if spec.learning_rate else "weight_decay"
        expected = {key for key in (decay, "momentum", "beta1", "beta2") if key in spec.known}
        expected -= {"momentum"} if name in ("sgd_recipe", "lbfgs_recipe") else set()
        assert expected | {"lr_warmup"} <= searched, name
        assert "lr" in searched or name == "prodigy_recipe"
        assert "lr_cooldown" in searched or name == "schedule_free_adamw_recipe"


def test_each_is_also_tuned_in_its_rate_alone_for_the_same_budget(cells: dict[str, Cell]) -> None:
    alone = {cell.optimizer.base: cell for cell in cells.values() if cell.optimizer.search.keys() == {"lr"}}
    recipes = {cell.optimizer.base: cell for cell in cells.values() if len(cell.optimizer.search) > 1}
    assert alone.keys() == recipes.keys()
    assert len(cells) == 2 * len(alone) == 2 * len(TORCH)
    assert len({cell.worth for cell in cells.values()}) == 1
    for name, cell in alone.items():
        default = optimizer_spec(name).hyperparameters.get("weight_decay", 0.0)
        assert cell.optimizer.arguments.get("weight_decay", default) == default, name
        assert cell.optimizer.defaults["lr"] == recipes[name].optimizer.defaults["lr"], name


def test_every_default_lies_in_its_space_or_is_zero(cells: dict[str, Cell]) -> None:
    outside = {
        f"{name}.{key}"
        for name, cell in cells.items()
        for key, tried in cell.optimizer.search.items()
        if isinstance(tried, Range) and not tried.contains(cell.optimizer.defaults[key])
    }
    assert outside == set()


def test_chosen_betas_reach_torch(cells: dict[str, Cell]) -> None:
    chosen = {"lr": 0.01, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.5}
    adamw = make_optimizer(cells["adamw_recipe"].optimizer, TinyNet().model(), chosen)
    assert adamw.param_groups[0]["betas"] == (0.8, 0.95)
    nadam = make_optimizer(cells["nadam_recipe"].optimizer, TinyNet().model(), chosen)
    assert nadam.param_groups[0]["betas"] == (0.8, 0.95)
    assert nadam.param_groups[0]["decoupled_weight_decay"]
    muon = make_optimizer(
        cells["muon_recipe"].optimizer, TinyNet().model(), {"lr": 0.01, "momentum": 0.9, "rest.beta2": 0.95}
    )
    assert muon.param_groups[-1]["betas"] == (0.9, 0.95)
    assert muon.param_groups[0]["momentum"] == 0.9
