"""The rule by which a cell is executed."""

from __future__ import annotations

import pytest

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import Cell, make_plan
from tests.support.tiny import TINY

VALLEY = "quadratic_valley"


def planned(problem: str, name: str, execution: str = "auto", **choices: object) -> Cell:
    config = configure(problems=[problem], optimizers=[name], batch_sizes=[10], devices=["cpu"], **choices)
    return make_plan(config, execution).cells[0]


@pytest.mark.parametrize(
    ("problem", "optimizer", "execution", "expected"),
    [
        (VALLEY, "adam", "auto", "population"),
        (VALLEY, "adam[eps=0.1]", "auto", "population"),
        (VALLEY, "adam[lr=0.1]", "auto", "population"),
        (VALLEY, "lbfgs", "auto", "eager"),
        (VALLEY, "lbfgs", "population", "eager"),
        (VALLEY, "adam", "eager", "eager"),
        ("mnist_cnn[data=digits]", "adam", "auto", "eager"),
        ("mnist_cnn[data=digits]", "adam", "population", "population"),
        (TINY, "sgd", "auto", "eager"),
        (TINY, "sgd", "population", "population"),
    ],
)
def test_the_rule(problem: str, optimizer: str, execution: str, expected: str) -> None:
    found = planned(problem, optimizer, execution).execution
    assert found.name == expected
    assert found.reason


@pytest.mark.parametrize(
    ("problem", "batch_size", "expected"),
    [
        ("quadratic_valley[dim=500]", 1000, "population"),
        ("quadratic_valley[dim=501]", 1000, "eager"),
        ("quadratic_valley[dim=4096]", 100, "population"),
        ("mlp", 100, "population"),
        ("mlp[hidden=128,layers=4]", 100, "population"),
        ("mlp[hidden=128,layers=4]", 1000, "eager"),
        ("mlp[hidden=512]", 20, "eager"),
        ("mlp[data=mnist]", 100, "population"),
        ("mlp[data=mnist]", 1000, "eager"),
    ],
)
def test_replicas_at_once_are_chosen_only_where_they_gain(problem: str, batch_size: int, expected: str) -> None:
    config = configure(problems=[problem], optimizers=["adam"], batch_sizes=[batch_size], devices=["cpu"])
    assert make_plan(config).cells[0].execution.name == expected


def test_other_searched_hyperparameters_need_one_training_after_another() -> None:
    table = {"base": "momentum", "search": {"momentum": {"low": 0.5, "high": 0.99, "scale": "linear"}}}
    assert planned(VALLEY, "mine", optimizer={"mine": table}).execution.name == "eager"


def test_a_fixed_point_is_executed_like_the_tuning_that_chose_it() -> None:
    """Otherwise its losses would differ in their last digits."""
    decay = {"low": 1e-4, "high": 1.0}
    table = {"base": "momentum", "search": {"weight_decay": decay}}
    fixed = {"base": "adamw", "arguments": {"weight_decay": 0.1}}
    for names, tables in (
        (("adamw", "adamw[weight_decay=0.1]", "adamw[lr=0.01,weight_decay=0.1]"), {}),
        (("mine", "mine[weight_decay=0.1]", "mine[lr=0.1,weight_decay=0.1]"), {"mine": table}),
        (("adamw", "mine", "mine[lr=0.01]"), {"mine": fixed}),
    ):
        assert {planned(VALLEY, name, optimizer=tables).execution.name for name in names} == {"eager"}
    assert planned(VALLEY, "adamw[lr=0.01]").execution.name == "eager"
    assert planned(VALLEY, "adam[lr=0.01,weight_decay=0.1]").execution.name == "population"


def test_only_cells_that_were_stacked_have_another_identity() -> None:
    def word(problem: str, name: str, **choices: object) -> bool:
        return "executed" in planned(problem, name, **choices).identity

    assert word(VALLEY, "adamw[weight_decay=0.1]")
    assert word(VALLEY, "mine", optimizer={"mine": {"base": "adamw", "arguments": {"weight_decay": 0.1}}})
    for name in ("adam", "adam[weight_decay=0.1]", "adamw", "adamw[lr=0.1]", "adamw_scheduled[lr_schedule=cosine]"):
        assert not word(VALLEY, name), name
    assert not word("mnist_cnn[data=digits]", "adamw[weight_decay=0.1]"), "was eager there before"


def test_execution_decides_no_figure_and_so_no_identity() -> None:
    assert planned(VALLEY, "adam", "eager").id == planned(VALLEY, "adam", "population").id


def test_an_unknown_execution_is_one_line() -> None:
    with pytest.raises(UserError, match=r"unknown execution 'populaton'; did you mean 'population'\?"):
        planned(VALLEY, "adam", "populaton")


def test_plan_prints_how_each_cell_is_executed(capsys: pytest.CaptureFixture[str]) -> None:
    from optbench.cli.verbs import main

    arguments = ["plan", "--problem", VALLEY, "--optimizer", "adam", "--optimizer", "lbfgs", "--batch-size", "10"]
    for extra, expected in (([], ["population", "eager"]), (["--execution", "eager"], ["eager", "eager"])):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *extra])
        assert ended.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[-1] for line in lines[1:3]] == expected
