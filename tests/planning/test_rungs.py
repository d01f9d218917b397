"""Ladders: several run budgets and sizes of one problem, each tuned and run by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import Cell, make_plan
from tests.support.same_results import assert_same_results
from tests.support.tiny import TINY, run_tiny

BASE: dict[str, Any] = {"problems": ["mlp[hidden=8]"], "optimizers": ["adam"], "batch_sizes": [32], "devices": ["cpu"]}
THREE = ["1epochs", "3epochs", "9epochs"]


def cells(**choices: Any) -> list[Cell]:
    return list(make_plan(configure(**{**BASE, **choices})).cells)


def complaint(**choices: Any) -> str:
    with pytest.raises(UserError) as caught:
        cells(**choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "choices",
    [
        {"run_budget": THREE},
        {"problems": ["mlp[hidden=8,run_budget=[1epochs,3epochs,9epochs]]"]},
        {"problems": [{"select": "mlp[hidden=8]", "run_budget": THREE}]},
        {"problems": ["mlp[run_budget=[1epochs,3epochs,9epochs],hidden=8]"], "run_budget": "7epochs"},
    ],
    ids=["common", "brackets", "entry", "brackets first"],
)
def test_each_run_budget_is_a_rung_with_a_name(choices: dict[str, Any]) -> None:
    rungs = cells(**choices)
    assert [cell.problem.label for cell in rungs] == [f"mlp[hidden=8,run_budget={text}]" for text in THREE]
    for cell, text in zip(rungs, THREE, strict=True):
        [alone] = cells(run_budget=text)
        assert alone.problem.label == "mlp[hidden=8]"
        assert cell.id == alone.id, "a rung is the cell that it would be alone"
        assert cell.problem.ladder == "mlp[hidden=8]"


def test_a_list_of_one_is_that_one() -> None:
    assert configure(**BASE, run_budget=["2epochs"]).toml() == configure(**BASE, run_budget="2epochs").toml()


@pytest.mark.filterwarnings("error")
def test_the_configuration_comes_back(tmp_path: Path) -> None:
    config = configure(**BASE, run_budget=THREE, ladder={"size": "hidden"})
    (tmp_path / "copy.toml").write_text(config.toml())
    assert configure(file=tmp_path / "copy.toml") == config


def test_sizes_are_values_of_the_parameter_that_the_ladder_names() -> None:
    found = cells(problems=["mlp[hidden=[8,32],layers=3]", "quadratic_valley"], ladder={"size": "hidden"})
    assert [(cell.problem.ladder, cell.problem.size) for cell in found] == [
        ("mlp[layers=3]", 8.0), ("mlp[layers=3]", 32.0), ("quadratic_valley", None),
    ]  # fmt: skip
    assert [cell.problem.size for cell in cells()] == [None]


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"run_budget": ["1epochs", "1200examples"]},
         "the run budgets 1epochs and 1200examples of mlp[hidden=8,run_budget=1200examples] are identical; remove one"),
        ({"run_budget": ["1epochs", "x"]}, "invalid run budget 'x'"),
        ({"run_budget": []}, "expected an amount"),
        ({"problems": ["mlp[run_budget=3]"]}, "run budget = 3 is not valid (accepted: amounts such as mlp["),
        ({"problems": ["mlp[run_budget=3lightyears]"]}, "invalid run budget '3lightyears'"),
        ({"ladder": {"size": "hiden"}}, "unknown size of the ladder 'hiden'; did you mean 'hidden'?"),
        ({"ladder": {"size": "activation"}}, "unknown size of the ladder 'activation'"),
        ({"ladder": {"seize": "hidden"}}, "unknown key 'seize'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(choices: dict[str, Any], told: str) -> None:
    if choices == {"run_budget": []}:
        with pytest.raises(UserError, match=told):
            configure(preset="quick", problems=[{"select": "mlp", "run_budget": []}])
    else:
        assert told in complaint(**choices)


def test_rungs_are_computed_as_they_would_be_alone(tmp_path: Path) -> None:
    """Each has a tuning budget of its own; nothing is a checkpoint of a longer run."""
    common = {"optimizers": ["sgd", "adam"], "batch_sizes": [10]}
    ladder = run_tiny(tmp_path / "ladder", problems=[TINY], run_budget=["1epochs", "3epochs"], **common)
    assert list(ladder.cells["problem"].unique()) == ["tiny[run_budget=1epochs]", "tiny[run_budget=3epochs]"]
    assert set(ladder.cells["ladder"]) == {"tiny"}
    for text in ("1epochs", "3epochs"):
        alone = run_tiny(tmp_path / text, problems=[TINY], run_budget=text, **common)
        for name in ("runs", "trials", "curves"):
            mine, other = getattr(ladder, name), getattr(alone, name)
            mine = mine[mine["problem"] == f"tiny[run_budget={text}]"].assign(problem="tiny").reset_index(drop=True)
            columns = [one for one in mine.columns if "second" not in one and "ms" not in one and one != "environment"]
            assert mine[columns].equals(other[columns]), name


def test_a_new_optimizer_is_compared_with_a_stored_ladder(tmp_path: Path) -> None:
    common = {"problems": [TINY], "batch_sizes": [10], "run_budget": ["1epochs", "3epochs"]}
    run_tiny(tmp_path / "stored", optimizers=["sgd"], **common)
    run_tiny(tmp_path / "new", optimizers=["adam"], against=tmp_path / "stored", **common)
    run_tiny(tmp_path / "alone", optimizers=["adam"], **common)
    assert_same_results(tmp_path / "new", tmp_path / "alone")
