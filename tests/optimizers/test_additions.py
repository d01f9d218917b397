"""Clipping and averaging as hyperparameters of every optimizer: what is accepted, searched, recorded and refused."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.cli.verbs import WRONG_USE, _main
from optbench.config.load import configure
from optbench.errors import UserError
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.optimizers.search_space import Choices, Range
from optbench.planning.matrix import Cell, make_plan
from optbench.training.averaging import averages_weights
from optbench.training.construct import make_optimizer
from tests.support.clipped import CLIPPED
from tests.support.own import OWN
from tests.support.tiny import TINY_NET

QUICK = {"problems": [TINY_NET], "batch_sizes": [10], "devices": ["cpu"]}


def cell_of(optimizer: str, tables: dict[str, Any] | None = None, **choices: Any) -> Cell:
    given = {**QUICK, **choices, "optimizers": [optimizer], **({"optimizer": tables} if tables else {})}
    [found] = make_plan(configure(**given)).cells
    return found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sgd[clip_norm=0]", "sgd[clip_norm] = 0 is out of range (accepted: a number above 0; none switches it off)"),
        ("sgd[clip_norm=-1]", "sgd[clip_norm] = -1 is out of range"),
        ("adam[clip_value=-0.5]", "adam[clip_value] = -0.5 is out of range"),
        ("adam[clip_value=true]", "adam[clip_value] = True is not valid"),
        ("adam[clip_norm=much]", "adam[clip_norm] = 'much' is not valid"),
        ("adam[average_decay=1]", "adam[average_decay] = 1 is out of range (accepted: a number above 0 and below 1;"),
        ("adam[average_share=1.5]", "adam[average_share] = 1.5 is out of range (accepted: a number above 0, at"),
        ("adam[average_share=0]", "adam[average_share] = 0 is out of range"),
        ("adam[clip_nrom=1]", "unknown hyperparameter of adam 'clip_nrom'; did you mean 'clip_norm'?"),
        ("lbfgs[clip_norm=1]", "lbfgs compares losses with slopes in its line search (line_search_fn)"),
        ("asgd[average_decay=0.9]", "asgd averages weights itself, so it can't be combined with average_decay"),
        ("schedule_free_sgd[average_share=0.5]", "schedule_free_sgd averages weights itself"),
        (f"{OWN}:Averaging[average_share=0.5]", "Averaging averages weights itself"),
        (f"{CLIPPED}:HeirOfASGD[average_decay=0.5]", "HeirOfASGD averages weights itself"),
    ],
)
def test_bad_values_and_combinations_are_refused(text: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        cell_of(text)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"base": "sgd", "search": {"clip_norm": {"low": 0.0, "high": 1.0, "scale": "linear"}}}, "zero = true adds 0"),
        ({"base": "sgd", "search": {"average_share": {"low": 0.1, "high": 1.5}}}, "t.average_share = 1.5 is out of"),
        ({"base": "sgd", "search": {"average_decay": [0.9, 1.0]}}, "t.average_decay = 1.0 is out of range"),
        ({"base": "sgd", "search": {"clip_norm": [-1, 0]}}, "t.clip_norm = -1 is out of range"),
        ({"base": "sgd", "arguments": {"clip_norm": 0.0}}, "sgd[clip_norm] = 0.0 is out of range"),
        ({"base": "lbfgs", "search": {"clip_norm": {"low": 0.1, "high": 1.0}}}, "t compares losses with slopes"),
        ({"base": "asgd", "search": {"average_decay": [0, 0.9]}}, "t averages weights itself"),
        (
            {"base": "sgd", "arguments": {"average_share": 0.5}, "groups": {"b": {"where": "ndim==1", "base": "asgd"}}},
            "t averages weights itself",
        ),
        (
            {"base": "sgd", "groups": {"b": {"where": "ndim==1", "arguments": {"clip_norm": 1.0}}}},
            "clip_norm applies to all parameters, not to group t.b alone",
        ),
        (
            {"base": "sgd", "groups": {"b": {"where": "ndim==1", "search": {"clip_value": [0, 1.0]}}}},
            "clip_value applies to all parameters, not to group t.b alone",
        ),
        (
            {"base": "sgd", "groups": {"b": {"where": "ndim==1", "base": "adamw", "search": {"lr_warmup": [0, 0.1]}}}},
            "lr_warmup applies to all parameters, not to group t.b alone",
        ),
        (
            {"base": "sgd", "groups": {"b": {"where": "ndim==1", "base": "adamw_scheduled"}}},
            "lr_schedule applies to all parameters, not to group t.b alone",
        ),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_although_nothing_selects_them(table: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        cell_of("adam", {"t": table})
    assert line in str(caught.value)


@pytest.mark.parametrize("table", [None, {"t": {"base": "rprop", "search": {"weight_decay": [0.0, 0.1]}}}])
def test_an_optimizer_without_weight_decay_says_so(table: dict[str, Any] | None) -> None:
    """A name that is written alike but means something else would mislead."""
    with pytest.raises(UserError) as caught:
        cell_of("t" if table else "rprop[weight_decay=0.1]", table)
    assert ("optimizer t has no weight_decay to search" if table else "optimizer rprop has no weight_decay") in str(
        caught.value
    )
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "sgd[clip_norm=1,clip_value=0.5,average_decay=0.99,average_share=1]",
        "lbfgs[line_search_fn=none,clip_norm=1]",
        "lbfgs[average_share=0.5]",
        "asgd[clip_norm=1]",
        f"{OWN}:Averaging[clip_value=0.1]",
        "muon[clip_norm=1,average_decay=0.9]",
    ],
)
def test_what_fits_is_accepted(text: str) -> None:
    assert cell_of(text).optimizer.added


def test_ids_depend_on_additions_only_where_they_are_set() -> None:
    """The ids are those of cells that were stored before there were additions."""
    plain = cell_of("sgd")
    assert "clip_norm" not in str(plain.identity)
    assert "average" not in str(plain.identity)
    assert "added" not in str(plain.identity)
    assert cell_of("sgd[clip_norm=none,average_share=none]").id == plain.id
    ids = {cell_of(f"sgd[{given}]").id for given in ("clip_norm=1", "clip_norm=2", "clip_value=1", "average_share=1")}
    assert len({plain.id, *ids}) == 5
    assert cell_of("sgd[clip_norm=1]").id == cell_of("sgd[clip_norm=1.0]").id


def test_the_constructor_does_not_receive_them() -> None:
    cell = cell_of("adam[clip_norm=1,average_decay=0.5,lr_warmup=0.1]")
    assert cell.optimizer.constructor_arguments({"lr": 0.1}) == {"lr": 0.1}
    assert cell.optimizer.additions({}) == {
        "clip_norm": 1.0, "clip_value": 0.0, "average_decay": 0.5, "average_share": 0.0,
    }  # fmt: skip


def test_an_argument_of_the_same_name_is_the_optimizers_own() -> None:
    import torch

    cell = cell_of(f"{CLIPPED}:HasClipNorm[clip_norm=0,clip_value=1]")
    assert cell.optimizer.additions({}) == {
        "clip_norm": 0.0, "clip_value": 1.0, "average_decay": 0.0, "average_share": 0.0,
    }  # fmt: skip
    made = make_optimizer(cell.optimizer, torch.nn.Linear(2, 2), {"lr": 0.1})
    assert made.defaults["own_clip_norm"] == 0.0


def test_registered_optimizers_declare_whether_they_average() -> None:
    """Those whose packages are installed."""
    import torch

    model = torch.nn.Sequential(torch.nn.Embedding(2, 2, sparse=True), torch.nn.Linear(2, 1))
    wrong = []
    for name, spec in REGISTERED_OPTIMIZERS.items():
        if find_spec(spec.package.replace("-", "_") or "torch"):
            choice = cell_of(name).optimizer
            if spec.averages != averages_weights(make_optimizer(choice, model, choice.defaults)):
                wrong.append(name)
    assert wrong == []


def test_a_decorator_and_a_table_search_them() -> None:
    found = cell_of(f"{CLIPPED}:Declared").optimizer
    assert found.search["clip_norm"] == Range(0.1, 10.0)
    assert found.search["average_decay"] == Choices((0.0, 0.9))
    assert found.defaults == {"lr": 0.1, "clip_norm": 1.0, "average_decay": 0.0}
    fixed = cell_of(f"{CLIPPED}:Declared[clip_norm=none,average_decay=0.5]").optimizer
    assert (fixed.additions({})["clip_norm"], fixed.additions({})["average_decay"]) == (0.0, 0.5)
    assert set(fixed.search) == {"lr"}
    search = {
        "clip_norm": {"low": 0.1, "high": 10.0, "zero": True},
        "average_decay": [0, 0.9],
        "average_share": {"low": 0.1, "high": 1.0, "scale": "linear", "when": {"average_decay": 0}},
    }
    table = cell_of("t", {"t": {"base": "adam", "search": search}}).optimizer
    assert table.defaults == {"lr": 1e-3, "clip_norm": 0.0, "average_decay": 0.0, "average_share": 0.0}
    assert table.additions({"clip_norm": 0.0, "average_decay": 0.9})["average_share"] == 0.0


def test_a_function_whose_optimizer_averages_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--problem", TINY_NET, "--batch-size", "10", "--results", str(tmp_path), "--engine", "serial"]
    optimizer = f"{CLIPPED}:made_by_function[average_decay=0.9]"
    assert _main(["run", *chosen, "--device", "cpu", "--optimizer", optimizer]) == WRONG_USE
    [line] = [line for line in capsys.readouterr().err.splitlines() if "averages weights itself" in line]
    assert "made_by_function" in line
    assert not list(tmp_path.rglob("trials.jsonl"))


def test_frames_have_them_as_hyperparameters_and_tuning_chooses_them(tmp_path: Path) -> None:
    table = {
        "base": "sgd",
        "arguments": {"lr": 0.1},
        "search": {"clip_norm": {"low": 0.01, "high": 1.0, "zero": True}, "average_share": [0, 0.5]},
    }
    choices = {
        **QUICK,
        "optimizers": ["t", "sgd", "sgd[clip_value=0.1]"],
        "seeds": 1,
        "tuning_worth": 5,
        "tuning_pruner": "none",
    }
    results = optbench.run(
        name="tuned", results=tmp_path, engine="serial", outputs=False, run_budget="120examples",
        optimizer={"t": table}, **choices,
    )  # fmt: skip
    trials = results.trials[results.trials["optimizer"] == "t"]
    assert len(trials) == 5
    assert set(trials["hp_average_share"]) == {0.0, 0.5}
    assert trials["hp_clip_norm"].iloc[0] == 0
    assert trials["hp_clip_norm"].gt(0).any()
    assert trials["cost"].eq(120).all()
    fixed = results.runs[results.runs["optimizer"] == "sgd[clip_value=0.1]"]
    assert fixed["hp_clip_value"].eq(0.1).all()
    assert results.runs.loc[results.runs["optimizer"] == "sgd", "hp_clip_value"].isna().all()
