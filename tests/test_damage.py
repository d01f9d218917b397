"""Records that are no longer what was written are found, named and redone; nothing else is touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

import optbench
from optbench.reporting.outputs import _state
from optbench.results.atomic import write_bytes
from optbench.results.checksum import unseal
from optbench.results.directory import ResultsDirectory
from optbench.results.store import CellStore
from tests.support.same_results import assert_same_results
from tests.test_resume import CHOICES, _run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    _run(folder)
    return folder


def _flip(path: Path) -> None:
    """Changes a digit of a number: the file stays JSON."""
    data = path.read_bytes()
    at = next(i for i, byte in enumerate(data) if chr(byte).isdigit() and data[i - 1 : i] == b".")
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _cut_the_last_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("injure", "name"),
    [
        (_flip, "trials.jsonl"), (_halve, "trials.jsonl"), (_cut_the_last_line, "trials.jsonl"),
        (_flip, "runs/0.json"), (_halve, "runs/0.json"), (Path.unlink, "runs/0.json"),
        (_flip, "curves/run-0.json"), (_halve, "result.json"),
    ],
)  # fmt: skip
def test_a_damaged_record_is_found_and_its_cell_redone(
    injure: Callable[[Path], None], name: str, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    cell, *others = sorted((folder / "cells").iterdir())
    before = {path: path.stat().st_mtime_ns for other in others for path in other.rglob("*.json*")}
    injure(cell / name)
    assert CellStore(cell).find_damage() == name
    with patch("optbench.runner.run.SilentProgress.message") as message:
        _run(folder)
    assert f"cell {cell.name}: {name} is damaged; the cell is computed again" in str(message.call_args_list)
    assert {path: path.stat().st_mtime_ns for other in others for path in other.rglob("*.json*")} == before
    assert_same_results(folder, undisturbed)


def test_records_are_read_for_damage_only_where_they_are_read_at_all(undisturbed: Path, tmp_path: Path) -> None:
    """A complete matrix whose outputs were made from what lies there is resumed without reading 20 files a cell."""
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    directory = ResultsDirectory(folder)
    for name in ("report.html", "tables/summary.parquet", "plots/none.svg"):
        write_bytes(folder / name, b"")
    arguments = {"name": folder.name, "results": folder.parent, "engine": "serial", **CHOICES}
    stamp = f"{_state(directory)} test_metric"
    write_bytes(folder / "tables" / ".made-from", stamp.encode())
    with patch.object(CellStore, "find_damage", side_effect=AssertionError("read")):
        optbench.run(**arguments)
    injured = sorted(folder.glob("cells/*/runs/0.json"))[0]
    _flip(injured)
    with (
        patch("optbench.runner.run.SilentProgress.message") as message,
        patch("optbench.reporting.outputs.write_outputs"),
    ):
        optbench.run(**arguments)
    assert f"{injured.parent.parent.name}: runs/0.json is damaged" in str(message.call_args_list)
    assert_same_results(folder, undisturbed)


def test_results_without_checksums_are_read_and_not_redone(undisturbed: Path, tmp_path: Path) -> None:
    """As they were written before records carried one."""
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    files = list((folder / "cells").rglob("*.json*"))
    for path in files:
        lines = path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
        path.write_text("".join(json.dumps(unseal(json.loads(line))) + "\n" for line in lines), "utf-8")
    before = {path: path.stat().st_mtime_ns for path in files}
    _run(folder)
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert_same_results(folder, undisturbed)
