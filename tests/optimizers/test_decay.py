"""The decay per step: what the class receives, that the shrinkage does not depend on the rate, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import optbench
from optbench.config.load import configure
from optbench.errors import UserError
from optbench.metrics.inclusion import inclusions
from optbench.optimizers.search_space import Range, space_text
from optbench.optimizers.written import write_constructor
from optbench.planning.matrix import Cell, make_plan
from optbench.reporting.methods import methods
from optbench.training.construct import make_optimizer
from tests.support.rows import cell_of as cell_of_rows
from tests.support.rows import frame, run_of
from tests.support.tiny import TINY_NET, run_tiny

QUICK = {"problems": [TINY_NET], "batch_sizes": [10], "devices": ["cpu"]}
TABLE = {"mine": {"base": "adamw", "search": {"decay_per_step": {"low": 1e-6, "high": 1e-2, "zero": True}}}}


def cell_of(optimizer: str, tables: dict[str, Any] | None = None, **choices: Any) -> Cell:
    given = {**QUICK, **choices, "optimizers": [optimizer], **({"optimizer": tables} if tables else {})}
    [found] = make_plan(configure(**given)).cells
    return found


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("lr", [1e-3, 0.04, 0.7])
def test_weights_shrink_by_it_at_every_rate(optimizer: str, lr: float) -> None:
    choice = cell_of("mine", {"mine": {"base": optimizer, "search": {"decay_per_step": {"low": 1e-6, "high": 0.1}}}})
    model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False, dtype=torch.float64))
    torch.nn.init.ones_(model[0].weight)
    made = make_optimizer(choice.optimizer, model, {"lr": lr, "decay_per_step": 0.03})
    for _ in range(4):
        model[0].weight.grad = torch.zeros_like(model[0].weight)
        made.step()
    assert float(model[0].weight[0, 0]) == pytest.approx((1 - 0.03) ** 4, rel=1e-12)


def test_trial_zero_has_the_default_weight_decay_and_trials_record_what_was_searched(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    results = run_tiny(folder, problems=[TINY_NET], optimizers=["mine"], optimizer=TABLE, tuning_worth=6)
    trials = results.trials.drop_duplicates("trial")
    first = trials[trials["trial"] == 0].iloc[0]
    assert first["hp_decay_per_step"] / first["lr"] == pytest.approx(0.01)
    assert trials["hp_decay_per_step"].nunique() > 3
    assert trials["hp_decay_per_step"].between(0, 1e-2).all()
    assert "hp_weight_decay" not in trials
    cell = results.directory.cell(results.cells["cell_id"].iloc[0])
    for seed in results.runs["seed"].unique():
        record = cell.run(int(seed), True)
        assert record is not None
        wanted = record["hyperparameters"]["decay_per_step"] / record["hyperparameters"]["lr"]
        assert record["constructed"]["weight_decay"] == pytest.approx(wanted)


def test_a_fixed_one_equals_the_weight_decay_that_it_stands_for(tmp_path: Path) -> None:
    """The same bits, trained one by one."""
    texts = ["adamw[lr=0.0078125,decay_per_step=0.0009765625]", "adamw[lr=0.0078125,weight_decay=0.125]"]
    runs = [
        run_tiny(tmp_path / str(place), problems=[TINY_NET], optimizers=[text], execution="eager").runs
        for place, text in enumerate(texts)
    ]
    assert (runs[0]["test_loss"] == runs[1]["test_loss"]).all()


def test_a_tuned_rate_with_a_fixed_decay_is_trained_one_by_one() -> None:
    cell = cell_of("sgd[decay_per_step=0.001]", problems=["quadratic_valley"])
    assert cell.execution.name == "eager"
    assert "the weight decay depends on the learning rate" in cell.execution.reason
    assert cell_of("sgd[weight_decay=0.001]", problems=["quadratic_valley"]).execution.name == "population"


def test_a_table_replaces_the_decay_of_its_base() -> None:
    muon = cell_of("mine", {"mine": {"base": "muon", "search": {"decay_per_step": {"low": 1e-6, "high": 1e-2}}}})
    assert {"decay_per_step", "lr"} == muon.optimizer.search.keys()
    tuned = {"first": {"base": "adamw", "search": {"decay_per_step": {"low": 1e-6, "high": 1e-2}}}}
    fixed = cell_of("first[weight_decay=0.1]", tuned)
    assert fixed.optimizer.search.keys() == {"lr"}
    assert fixed.optimizer.arguments == {"weight_decay": 0.1}


@pytest.mark.parametrize(
    ("text", "table", "line"),
    [
        ("adamw[decay_per_step=-1]", {}, "adamw[decay_per_step] = -1 is out of range (accepted: a number of at"),
        ("adamw[decay_per_step=1]", {}, "adamw[decay_per_step] = 1 is out of range"),
        ("adamw[decay_per_step=none]", {}, "adamw[decay_per_step] = None is not valid"),
        ("adamw[decay_per_step=much]", {}, "adamw[decay_per_step] = 'much' is not valid"),
        ("adamw[decay_per_step=0.1,weight_decay=0.1]", {}, "adamw has both weight_decay and decay_per_step"),
        ("lbfgs[decay_per_step=0.1]", {}, "unknown hyperparameter of lbfgs 'decay_per_step'"),
        ("adamw[decay_per_stp=0.1]", {}, "did you mean 'decay_per_step'"),
        ("mine", {"arguments": {"weight_decay": 0.1}, "search": {"decay_per_step": {"low": 1e-6, "high": 1e-2}}},
         "mine has both weight_decay and decay_per_step"),
        ("mine", {"search": {"decay_per_step": {"low": 1e-6, "high": 2.0}}},
         "the search space of mine.decay_per_step = 2.0 is out of range"),
    ],
)  # fmt: skip
def test_bad_decays_are_refused_in_one_line(text: str, table: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as error:
        cell_of(text, {"mine": {"base": "adamw", **table}} if table else None)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_class_with_a_hyperparameter_of_that_name_keeps_it() -> None:
    cell = cell_of(f"{__file__}:Own[decay_per_step=5]")
    made = make_optimizer(cell.optimizer, torch.nn.Linear(2, 2), {"lr": 0.1})
    assert made.defaults["decay_per_step"] == 5
    assert made.defaults["weight_decay"] == 0.5


class Own(torch.optim.SGD):
    """Has an argument of the added hyperparameter's name."""

    def __init__(self, params: Any, lr: float = 0.1, weight_decay: float = 0.5, decay_per_step: float = 2.0) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay)
        self.defaults["decay_per_step"] = decay_per_step


def test_an_own_script_gets_the_weight_decay() -> None:
    written = write_constructor("adamw", 0.001, "decay_per_step=1e-5, eps=1e-6")
    assert "weight_decay=0.01" in written
    assert "decay_per_step" not in written


def test_the_page_names_who_decays_weights(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", problems=[TINY_NET], optimizers=["adamw[decay_per_step=1e-5]", "sgd"])
    text = " ".join(methods({}, "test_metric", results.runs))
    assert "Weight decay is 0, except for adamw[decay_per_step=1e-5]." in text


def test_a_decay_per_step_contains_the_same_weight_decay() -> None:
    """AdamW with the product in its space contains AdamW as it was tuned with a fixed weight decay, and no other."""
    space = {"lr": Range(1e-4, 1e-1), "decay_per_step": Range(1e-6, 1e-3)}
    method = {"constructor": "torch.optim:AdamW", "length_arguments": ""}
    wide = cell_of_rows("wide", search=space_text(space), **method)
    plain = cell_of_rows("plain", search=space_text({"lr": space["lr"]}), **method)
    for decay, expected in ((0.01, [("wide", "plain")]), (10.0, [])):
        runs = frame([run_of(wide, lr=1e-3), run_of(plain, lr=1e-3)], "runs")
        runs = runs.assign(hp_decay_per_step=[3e-5, math.nan], hp_weight_decay=[math.nan, decay])
        assert [one.names for one in inclusions(runs, frame([wide, plain], "cells"))] == expected


def test_it_is_public() -> None:
    assert "decay_per_step" in optbench.load_config("recipe").optimizer["adamw_recipe"].search
