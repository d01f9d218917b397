"""Files of the user travel with a cell, keep its id, and are the ones that it was planned with."""

from __future__ import annotations

import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import Cell, make_plan
from optbench.runner.dask.sources import check_same, place_sources, read_sources

PROBLEM = """
from dataclasses import dataclass
from tests.support.tiny import TinyNet

@dataclass(frozen=True)
class Mine(TinyNet):
    name = "mine"
"""
OPTIMIZER = """
import torch

class Steps(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
"""


def planned(folder: Path, **choices: Any) -> Cell:
    (folder / "my problem.py").write_text(PROBLEM)
    (folder / "steps.py").write_text(OPTIMIZER)
    chosen = {
        "problems": [f"{folder}/my problem.py:Mine[examples=50]"],
        "optimizers": [f"{folder}/steps.py:Steps"],
        "batch_sizes": [10],
        "devices": ["cpu"],
    }
    return make_plan(configure(**{**chosen, **choices})).cells[0]


def test_files_that_are_not_there_are_put_down_and_the_cell_stays_the_same(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    cell = planned(tmp_path / "here")
    sources = read_sources(cell)
    files = {"my problem.py": PROBLEM, "steps.py": OPTIMIZER}
    assert {name: sources[str(tmp_path / "here")][name].decode() for name in files} == files
    for path in (tmp_path / "here").iterdir():
        path.unlink()
    cell = pickle.loads(pickle.dumps(cell))
    moved = place_sources(cell, sources, tmp_path / "there")
    assert moved.problem.selection.name.startswith(str(tmp_path / "there"))
    assert (moved.id, moved.key) == (cell.id, cell.key)
    assert moved.problem.make().training_examples() == 50
    check_same(moved)


def test_folders_that_are_there_are_used_in_place_unless_a_file_is_another(tmp_path: Path) -> None:
    cell = planned(tmp_path)
    sources = read_sources(cell)
    assert place_sources(cell, sources, tmp_path / "there") == cell
    (tmp_path / "steps.py").write_text(OPTIMIZER + "# edited\n")
    moved = place_sources(cell, sources, tmp_path / "there")
    assert moved.optimizer.constructor.startswith(str(tmp_path / "there"))
    assert moved.problem.selection.name.startswith(str(tmp_path / "there"))  # modules that both import stay one
    check_same(moved)
    with pytest.raises(UserError, match=r"optimizer Steps differs on this worker \(in its source: .*steps\.py\)"):
        check_same(cell)


def test_modules_next_to_the_files_travel_too(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "own_parts").mkdir(parents=True)
    (here / "own_parts" / "__init__.py").write_text("")
    (here / "own_parts" / "rate.py").write_text("RATE = 0.1")
    files = {
        name: (f"{text}\nfrom own_parts.rate import RATE\n") for name, text in (("p.py", PROBLEM), ("s.py", OPTIMIZER))
    }
    for name, text in files.items():
        (here / name).write_text(text)
    cell = planned(here, problems=[f"{here}/p.py:Mine"], optimizers=[f"{here}/s.py:Steps"])
    moved = place_sources(cell, read_sources(cell), there)
    assert moved == cell
    sources = read_sources(cell)
    shutil.rmtree(here)
    forget("own_parts")
    moved = place_sources(cell, sources, there)
    check_same(moved)
    assert moved.id == cell.id
    assert sorted(path.name for path in there.rglob("*.py")) == ["p.py", "rate.py", "s.py"]
    forget("own_parts")


def forget(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


@pytest.mark.parametrize("optimizer", ["lion", "muon", "sam", "schedule_free_adamw"])
def test_registered_optimizers_of_packages_are_the_planned_ones(optimizer: str, tmp_path: Path) -> None:
    cell = planned(tmp_path, problems=["mlp"], optimizers=[optimizer])
    check_same(cell)
    older = replace(cell, optimizer=replace(cell.optimizer, source=cell.optimizer.source + "0"))
    with pytest.raises(UserError, match=rf"optimizer {optimizer} differs on this worker \(in its source: "):
        check_same(older)


def test_another_version_of_a_problem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optbench.problems.quadratic_valley import QuadraticValley

    cell = planned(tmp_path, problems=["quadratic_valley"])
    check_same(cell)
    monkeypatch.setattr(QuadraticValley, "version", 99)
    with pytest.raises(UserError, match=r"problem quadratic_valley differs on this worker \(in version\)"):
        check_same(cell)


def test_a_file_that_is_gone_is_one_line(tmp_path: Path) -> None:
    cell = planned(tmp_path)
    (tmp_path / "steps.py").unlink()
    with pytest.raises(UserError, match=r"steps\.py can't be read: No such file"):
        read_sources(cell)


def test_what_is_installed_does_not_travel(tmp_path: Path) -> None:
    cell = planned(tmp_path, problems=["quadratic_valley"], optimizers=["adam"])
    assert read_sources(cell) == {}
    assert place_sources(cell, {}, tmp_path) is cell
