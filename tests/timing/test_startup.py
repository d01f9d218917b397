"""What one waits for before anything is computed, in counts: calls for each cell of a plan, files opened for each cell.

The seconds are those of `optbench bench`. Calls of Python functions and opened files are the same on every machine.
"""

from __future__ import annotations

import cProfile
import pstats
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from optbench.cli.verbs import _main
from optbench.config.load import load_config
from optbench.planning.matrix import make_plan
from optbench.results.store import CellStore
from optbench.timing.bench.startup import RESUME, make_finished_directory, matrix

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _opened is not None:
        _opened.append(str(arguments[0]))


@pytest.fixture(scope="module")
def files_opened() -> Callable[[Callable[[], object], Path], Counter[str]]:
    """Counts which files in a folder some work opens, by their names."""
    sys.addaudithook(_note)  # for as long as the process lives; it is idle outside of `counted`

    def counted(work: Callable[[], object], folder: Path) -> Counter[str]:
        global _opened
        _opened = []
        try:
            work()
            return Counter(Path(path).name for path in _opened if path.startswith(str(folder)))
        finally:
            _opened = None

    return counted


def _calls(work: Callable[[], object]) -> int:
    profile = cProfile.Profile()
    profile.runcall(work)
    return int(pstats.Stats(profile).total_calls)


def test_a_plan_takes_the_same_few_calls_for_each_cell(tmp_path: Path) -> None:
    def plan(conditions: int) -> Callable[[], object]:
        file = matrix(tmp_path, conditions)
        return lambda: make_plan(load_config(file=file))

    plan(1)()  # imports, and what is remembered
    few, many = _calls(plan(2)), _calls(plan(10))
    assert 0 < (many - few) / 800 < 240


def test_status_reads_each_record_to_name_damaged_ones_and_little_else(
    tmp_path: Path, files_opened: Callable[..., Counter[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, cells = make_finished_directory(tmp_path, 1), 100
    found = files_opened(lambda: _main(["status", folder.name, "--results", str(tmp_path)]), folder)
    assert f"{cells} done, 0 failed, 0 missing" in capsys.readouterr().out
    records = sum(1 for path in folder.rglob("cells/*/**/*.json*"))
    assert cells <= found["result.json"] <= 3 * cells
    assert sum(found.values()) <= records + 4 * cells + 20


#: Before and after what is measured: which files are opened, and what is imported at the end.
WATCHED = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
{resume}
assert list(results.states().values()) == ["done"] * 100
print(sorted({{"torch", "pandas", "optuna"}} & set(sys.modules)))
print(sum(path.startswith(str(folder)) for path in opened))
"""


@pytest.mark.processes
def test_resuming_finished_cells_reads_two_files_of_each_and_imports_nothing_heavy(tmp_path: Path) -> None:
    folder = make_finished_directory(tmp_path, 1)
    arguments = [sys.executable, "-c", WATCHED.format(resume=RESUME), str(matrix(tmp_path, 1)), str(folder)]
    imported, opened = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.splitlines()
    assert imported == "[]"
    assert 100 <= int(opened) <= 2 * 100 + 40


def test_a_run_asks_once_for_the_state_of_a_finished_cell(tmp_path: Path) -> None:
    from tests.support.tiny import run_tiny

    run_tiny(tmp_path / "run")
    with patch.object(CellStore, "state", autospec=True, return_value="done") as asked:
        run_tiny(tmp_path / "run")
    assert asked.call_count == 2
