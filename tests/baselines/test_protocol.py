"""What is run against stored results has their problems, budgets and seeds, unless something else is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import optbench
from optbench.baselines.freeze import freeze
from optbench.baselines.located import reference_folder
from optbench.baselines.protocol import load_protocol
from optbench.cli.verbs import COMPLETE, WRONG_USE, _main
from optbench.errors import UserError
from optbench.results.frozen import FrozenResults
from optbench.results.protocol import list_protocol_differences
from tests.support.own import OWN
from tests.support.tiny import TINY

NEW = f"{OWN}:Heir"


def test_one_problem_of_the_reference_is_run_as_it_was_there() -> None:
    """Its budget is that of the reference, which isn't the problem's own."""
    reference = FrozenResults(reference_folder())
    chosen = "cifar_resnet[depth=8,width=4,data=digits,augment=false]"
    plan = optbench.plan(against="reference", optimizers=[NEW], problems=[chosen], batch_sizes=[100])
    [cell] = plan.cells
    theirs = {
        cell["problem"]: reference.identities[cell["cell_id"]]
        for cell in reference.plan["cells"]
        if cell["batch_size"] == 100
    }
    assert not list(list_protocol_differences(cell.identity, theirs[f"{cell.problem.label}"]))
    assert list(plan.seeds) == reference.plan["seeds"]
    [alone] = optbench.plan(optimizers=[NEW], problems=[chosen], batch_sizes=[100], devices=["cpu"]).cells
    assert alone.run_cost != cell.run_cost


def test_a_problem_that_is_not_there_has_its_own_batch_sizes() -> None:
    plan = optbench.plan(against="reference", optimizers=[NEW], problems=["quadratic_valley", "rosenbrock"])
    assert [(cell.problem.label, cell.batch_size) for cell in plan.cells] == [
        ("quadratic_valley", 20), ("quadratic_valley", 100), ("rosenbrock", 1)
    ]  # fmt: skip


def test_without_a_choice_all_of_it_is_run() -> None:
    plan = optbench.plan(against="reference", optimizers=[NEW])
    cells = FrozenResults(reference_folder()).plan["cells"]
    theirs = {(cell["problem"], cell["batch_size"], cell["device"]) for cell in cells}
    assert {(cell.problem.label, cell.batch_size, cell.device) for cell in plan.cells} == theirs


def test_what_is_asked_for_goes_before_it() -> None:
    with pytest.raises(UserError, match="run budget of quadratic_valley is 2000, but 10000 in reference"):
        optbench.plan(against="reference", optimizers=[NEW], run_budget="2epochs")


def test_frozen_results_that_say_too_little_are_refused_in_one_line(tmp_path: Path) -> None:
    about = json.loads((reference_folder() / "about.json").read_text())
    del about["config"], about["planes"]
    (tmp_path / "about.json").write_text(json.dumps(about))
    with pytest.raises(
        UserError, match=r"about\.json of frozen results .* lacks config, planes; create or install them again$"
    ):
        optbench.plan(against=tmp_path, optimizers=[NEW])


def test_frozen_results_say_the_same_as_those_that_they_were_made_of(
    tiny_run: optbench.Results, tmp_path: Path
) -> None:
    live = load_protocol(tiny_run.folder).settings
    frozen = load_protocol(freeze(tiny_run, tmp_path / "frozen").folder).settings
    assert live == frozen
    assert (live["seeds"], live["evaluations"], live["tuning"]["worth"], live["devices"]) == (2, 4, 2.0, ["cpu"])
    assert not {"optimizers", "optimizer"} & live.keys()


def test_code_that_only_stored_results_name_is_not_run(tiny_copy: Path) -> None:
    with pytest.raises(UserError, match=r"is in a results directory and refers to code, .*:Tiny, which runs only"):
        optbench.plan(against=tiny_copy, optimizers=["adadelta"])
    [cell] = optbench.plan(against=tiny_copy, optimizers=["adadelta"], problems=[TINY]).cells
    assert (cell.run_cost, cell.worth, cell.evaluations, cell.batch_size) == (400, 2.0, 4, 10)


def test_the_command_plans_what_would_be_run(
    tiny_copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_copy.parent.parent)
    arguments = ["plan", "--against", "run", "--results", str(tiny_copy.parent), "--problem", TINY]
    assert _main([*arguments, "--optimizer", "adadelta", "--optimizer", "adam"]) == COMPLETE
    out = capsys.readouterr().out
    assert "1 cell, 2 seeds" in out
    assert "note: 1 cells are taken from run and not computed" in out
    assert _main(arguments) == WRONG_USE
    assert "no optimizer is selected (accepted: --optimizer NAME" in capsys.readouterr().err
