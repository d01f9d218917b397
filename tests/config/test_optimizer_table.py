"""Tables in TOML: conditions, lists of values, groups by rule and of another class, and what is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optbench.config.load import load_config, parse_config
from optbench.config.optimizer_table import OptimizerTable, build_spec
from optbench.errors import Inapplicable, UserError
from optbench.optimizers.search_space import Choices, Range
from optbench.planning.matrix import Cell, make_plan
from optbench.planning.optimizer_choice import choose_optimizer
from optbench.runner.preflight import check_optimizers
from optbench.training.construct import make_optimizer
from tests.support.own import OWN
from tests.support.tiny import TINY, TINY_NET, TinyNet

TABLES = f"""
problems = ["{TINY_NET}"]
optimizers = ["scheduled", "pair", "told"]
devices = ["cpu"]
batch_sizes = [10]

[optimizer.scheduled]
base = "adamw"
search.lr_schedule = ["constant", "cosine"]
search.lr_warmup = {{ low = 0.0, high = 0.2, scale = "linear", when = {{ lr_schedule = "cosine" }} }}
search.amsgrad = {{ values = [true, false], when = {{ lr_schedule = ["cosine"] }} }}

[optimizer.pair]
class = "torch.optim:Muon"
arguments = {{ weight_decay = 0.5 }}
search.lr = {{ low = 1e-3, high = 1.0 }}

[optimizer.pair.groups.rest]
where = "ndim != 2"
base = "momentum"
arguments = {{ nesterov = true }}
search.momentum = {{ low = 0.5, high = 0.99, scale = "linear" }}

[optimizer.told]
class = "{OWN}:Newton"
needs_closure = false
second_backward = true
reset = "tests.support.broken:forget"
"""


@pytest.fixture
def cells(tmp_path: Path) -> dict[str, Cell]:
    file = tmp_path / "my.toml"
    file.write_text(TABLES.replace('base = "momentum"', 'base = "sgd"').replace("nesterov = true", "dampening = 0"))
    return {cell.optimizer.label: cell for cell in make_plan(load_config(file=file)).cells}


def table(**settings: object) -> OptimizerTable:
    return OptimizerTable.model_validate(settings)


def test_lists_and_conditions(cells: dict[str, Cell]) -> None:
    when = (("lr_schedule", ("cosine",)),)
    found = cells["scheduled"].optimizer
    assert found.search == {
        "weight_decay": Range(1e-4, 1e0), "lr_schedule": Choices(("constant", "cosine")),
        "lr_warmup": Range(0, 0.2, log=False, when=when), "amsgrad": Choices((True, False), when=when),
        "lr": Range(1e-5, 1e-1),
    }  # fmt: skip
    # Where tuning starts, only what has a meaning there.
    assert found.defaults == {"lr": 1e-3, "weight_decay": 0.01, "lr_schedule": "constant"}


def test_a_group_of_another_class_steps_by_its_own_rule(cells: dict[str, Cell]) -> None:
    """The matrix by torch's Muon alone; the vector by SGD's rule in NumPy, at the common rate and weight decay."""
    choice = cells["pair"].optimizer
    assert choice.search["rest.momentum"] == Range(0.5, 0.99, log=False)
    assert choice.defaults == {"lr": 1e-3, "rest.momentum": 0.0}
    model, alone = TinyNet().model(), TinyNet().model()
    alone.load_state_dict(model.state_dict())
    optimizer = make_optimizer(choice, model, {"lr": 0.1, "rest.momentum": 0.9})
    other = torch.optim.Muon([alone[1].weight], lr=0.1, weight_decay=0.5)
    bias, speed = model[1].bias.detach().double().numpy().copy(), np.zeros(3)
    random = np.random.default_rng(0)
    for _ in range(4):
        for name, parameter in model.named_parameters():
            gradient = random.standard_normal(parameter.shape)
            parameter.grad = torch.from_numpy(gradient).float()
            if name == "1.bias":
                speed = 0.9 * speed + gradient + 0.5 * bias
                bias -= 0.1 * speed
            else:
                alone[1].weight.grad = parameter.grad.clone()
        optimizer.step()
        other.step()
    assert torch.equal(model[1].weight, alone[1].weight)
    np.testing.assert_allclose(model[1].bias.detach(), bias, rtol=1e-5, atol=1e-6)


def test_what_is_needed(cells: dict[str, Cell]) -> None:
    choice = cells["told"].optimizer
    assert (choice.needs_closure, choice.second_backward) == (False, True)
    assert choice.reset == "tests.support.broken:forget"
    assert cells["told"].execution.reason == "the step differentiates gradients"


def test_state_is_reset_before_every_construction(cells: dict[str, Cell]) -> None:
    from tests.support.broken import MEMORY

    MEMORY["left"] = torch.zeros(1)
    make_optimizer(cells["told"].optimizer, TinyNet().model(), {})
    assert not MEMORY


def test_partners_that_would_step_everything_are_no_optimizer(cells: dict[str, Cell]) -> None:
    """An error of those cells, told before anything is computed, by which the rest of the matrix isn't stopped."""
    choice = cells["pair"].optimizer
    [cell] = make_plan(load_config(choices={"problems": [TINY], "optimizers": ["muon"], "devices": ["cpu"],
                                            "batch_sizes": [10]})).cells  # fmt: skip
    with pytest.raises(Inapplicable, match="muon has no parameters to step: all are in rest"):
        make_optimizer(cell.optimizer, cell.problem.make().model(), {"lr": 0.1})
    [network] = make_plan(load_config(choices={"problems": [TINY_NET], "optimizers": ["muon"], "devices": ["cpu"],
                                               "batch_sizes": [10]})).cells  # fmt: skip
    [note] = check_optimizers([cell, network])
    assert note == (
        "tiny: muon has no parameters to step: all are in rest (ndim != 2 or layer == 'Embedding'); "
        "cells that will be recorded as failed: 1"
    )
    assert check_optimizers([network]) == []
    with pytest.raises(UserError, match=r"^tiny: muon has no parameters to step"):
        check_optimizers([cell])
    assert choice.partners == {"rest": "torch.optim:SGD"}


def test_rules_are_part_of_what_a_cell_is(cells: dict[str, Cell]) -> None:
    identity = cells["pair"].optimizer.identity
    assert identity["groups"] == {"rest": "ndim != 2"}
    assert identity["partners"] == {"rest": "torch.optim:SGD"}
    assert "partners" not in cells["scheduled"].optimizer.identity
    assert identity["search"]["lr"] == {"low": 1e-3, "high": 1.0, "log": True, "whole": False}


RANGE = {"low": 1, "high": 2}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"search": {"lr": [0.1, 0.2]}}, "optimizer.mine.search.lr is a list (accepted: a table with low and high)"),
        ({"search": {"eps": ["a", "b"]}}, "adam[eps] = 'a' is not valid (accepted: a number of at least 0)"),
        ({"search": {"lr_schedule": ["constant", "cosin"]}}, "unknown schedule 'cosin'"),
        (
            {"search": {"eps": {**RANGE, "when": {"amsgrat": True}}}},
            "unknown hyperparameter in a condition of optimizer.mine.search.eps 'amsgrat'; did you mean 'amsgrad'?",
        ),
        ({"groups": {"rest": {"where": "dims"}}}, "unknown name in the rule 'dims' 'dims'; did you mean 'ndim'?"),
        ({"groups": {"rest": {"where": "ndim > 1", "base": "adm"}}}, "unknown optimizer 'adm'"),
        ({"groups": {"rest": {"where": "ndim > 1", "base": "lbfgs"}}}, "lbfgs can't be the optimizer of a group"),
        (
            {"groups": {"rest": {"where": "ndim > 1", "base": "sgd", "search": {"eps": RANGE}}}},
            "unknown hyperparameter of mine.rest to search 'eps'",
        ),
    ],
)  # fmt: skip
def test_tables_that_make_no_sense(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        build_spec("mine", table(base="adam", **settings))
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("groups.rest = { }", "optimizer.mine.groups.rest = {}: set either parameters = [PATTERN, …] or where = RULE"),
        ("groups.rest = { parameters = ['*'], where = 'ndim > 1' }", "either parameters = [PATTERN, …] or where"),
        ("groups.rest = { where = 'ndim > 1', base = 'adam', class = 'a:B' }", "either base = NAME or class ="),
        ("from_run = { width = 'batches' }", "optimizer.mine.from_run.width = 'batches': "),
        ("search.eps = [1]", "at least two values, all different"),
    ],
)  # fmt: skip
def test_files_that_make_no_sense(text: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(f"[optimizer.mine]\nbase = 'adam'\n{text}\n")
    with pytest.raises(UserError) as caught:
        load_config(file=file)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_configuration_is_read_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(TABLES)
    config = load_config(file=file)
    assert parse_config(config.toml(), "again") == config


def test_the_tables_of_the_document_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = Path(__file__).parents[2]
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", (docs / "CONTRIBUTING.md").read_text("utf-8"), re.S)
    (tmp_path / "lion.py").write_text(next(block for block in blocks if block.startswith("# lion.py")))
    text = (docs / "docs" / "your-optimizer.md").read_text("utf-8")
    [tables] = [block for block in re.findall(r"```toml\n(.*?)```", text, re.S) if "[optimizer." in block]
    (tmp_path / "my.toml").write_text(tables)
    monkeypatch.chdir(tmp_path)
    cells = make_plan(load_config(file=Path("my.toml"), choices={"problems": [TINY_NET], "devices": ["cpu"]})).cells
    check_optimizers(cells)
    assert {cell.optimizer.label for cell in cells} == set(load_config(file=Path("my.toml")).optimizers)


def test_entries_of_betas_are_searched_one_by_one_in_groups_too() -> None:
    near_one = {"low": 0.5, "high": 0.99, "scale": "log_complement"}
    table = OptimizerTable.model_validate(
        {
            "base": "adamw",
            "search": {"beta1": near_one},
            "groups": {"flat": {"where": "ndim == 1", "base": "adam", "search": {"beta2": near_one}}},
        }
    )
    spec = build_spec("mine", table)
    assert spec.search["beta1"] == spec.search["flat.beta2"] == Range(0.5, 0.99, log=False, complement=True)
    chosen = choose_optimizer("mine", spec.configured({}), "", TinyNet())
    optimizer = make_optimizer(chosen, TinyNet().model(), {"lr": 0.1, "beta1": 0.7, "flat.beta2": 0.8})
    assert sorted(group["betas"] for group in optimizer.param_groups) == [(0.7, 0.999), (0.9, 0.8)]
    for entry in ({"values": [0.5, 1.0]}, {"low": 0.5, "high": 2.0}):
        with pytest.raises(UserError, match="beta1"):
            build_spec("mine", OptimizerTable.model_validate({"base": "adamw", "search": {"beta1": entry}}))
