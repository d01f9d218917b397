"""A cell is computed with the code with which it was planned, or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import optbench
from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import Cell, make_plan
from optbench.planning.planned_code import changed_code, check_unchanged
from tests.support.tiny import TINY

MINE = """
    import torch
    from own_planned import FACTOR
    class Mine(torch.optim.SGD):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr * FACTOR)
"""
#: Edits its own file while it is trained for the third time, as a user might.
EDITED = """
    import pathlib
    import torch
    class Mine(torch.optim.SGD):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr)
            log = pathlib.Path(__file__).with_suffix(".log")
            log.write_text(log.read_text() + "." if log.exists() else ".")
            if len(log.read_text()) == 3:
                edited = pathlib.Path(__file__).read_text().replace("0.1", "0.01")
                pathlib.Path(__file__).write_text(edited)
"""


def planned(**choices: object) -> Cell:
    return make_plan(configure(**{"problems": [TINY], "batch_sizes": [10], "optimizers": ["sgd"], **choices})).cells[0]


def test_an_edited_file_or_module_is_named_and_a_touched_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    mine, helper = tmp_path / "mine.py", tmp_path / "own_planned.py"
    mine.write_text(dedent(MINE))
    helper.write_text("FACTOR = 1.0")
    cell = planned(optimizers=[f"{mine}:Mine"])
    for path in (mine, helper):
        os.utime(path, (1, 1))
    check_unchanged(cell)
    for path in (mine, helper):
        before = path.read_text()
        path.write_text(before + "# edited")
        assert changed_code(cell) == f"{mine} (or a module that it imports)"
        with pytest.raises(UserError, match="has changed since the run was planned; run again"):
            check_unchanged(cell)
        path.write_text(before)
    check_unchanged(cell)
    sys.modules.pop("own_planned", None)


def test_an_edited_problem_is_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from tests.support.tiny import Tiny as Mine\n")
    cell = planned(problems=[f"{mine}:Mine"])
    check_unchanged(cell)
    mine.write_text(mine.read_text() + "# edited")
    assert changed_code(cell).startswith(str(mine))


@pytest.mark.parametrize("optimizer", ["adam", "lion", "muon", "sam"])
def test_registered_code_has_not_changed(optimizer: str) -> None:
    assert changed_code(planned(problems=["mlp"], optimizers=[optimizer])) == ""


def test_no_training_of_an_edited_file_is_stored(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(dedent(EDITED))
    results = optbench.run(
        problems=[TINY], optimizers=[f"{mine}:Mine"], batch_sizes=[10], seeds=4, tuning_worth=2, engine="serial",
        execution="eager", outputs=False, results=tmp_path / "results", name="edited",
    )  # fmt: skip
    [cell] = results.cells.itertuples()
    assert cell.status == "error"
    assert cell.error.startswith(f"UserError: {mine} has changed since the run was planned; run again")
    assert not (results.runs["status"] == "ok").any()
    assert not (results.trials["status"] == "ok").any()
