"""Damaged and misplaced records are named by whatever reads them, and none of their figures is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import optbench
from optbench.cli.verbs import COMPLETE, SOME_FAILED, WRONG_USE, _main
from optbench.results.checksum import DamagedRecord, seal, unseal
from optbench.results.directory import ResultsDirectory
from optbench.results.join import join
from optbench.results.store import CellStore


def change_number(path: Path) -> None:
    """The file stays JSON."""
    data = path.read_bytes()
    at = next(i for i, byte in enumerate(data) if chr(byte).isdigit() and data[i - 1 : i] == b".")
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def copy_over(name: str) -> Callable[[Path], None]:
    return lambda path: path.write_bytes((path.parent / name).read_bytes())


def copy_other_cell(path: Path) -> None:
    cell = next(one for one in path.parents if one.parent.name == "cells")
    other = next(one for one in cell.parent.iterdir() if one != cell)
    path.write_bytes((other / path.relative_to(cell)).read_bytes())


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("runs/1.json", change_number),
        ("runs/1.json", Path.unlink),
        ("runs/1.json", copy_over("0.json")),
        ("runs/1.json", copy_over("1-default.json")),
        ("runs/1.json", copy_other_cell),
        ("curves/run-1.json", change_number),
        ("curves/run-1.json", copy_over("run-0.json")),
        ("curves/trial-1.json", copy_over("trial-0.json")),
        ("trials.jsonl", change_number),
        ("trials.jsonl", copy_other_cell),
        ("timing.json", copy_other_cell),
        ("result.json", copy_other_cell),
        ("cell.json", copy_other_cell),
    ],
)
def test_a_damaged_or_misplaced_record_is_named(
    name: str, damage: Callable[[Path], None], tiny_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = sorted((tiny_copy / "cells").iterdir())[0]
    damage(cell / name)
    [text] = optbench.load(tiny_copy).damage.values()
    assert f"cell {cell.name} of {tiny_copy.name} (" in text
    assert f"{name} is damaged and left out" in text
    assert _main(["status", str(tiny_copy)]) == SOME_FAILED
    shown = capsys.readouterr().out
    assert "1 done, 0 failed, 0 missing, 1 damaged" in shown
    assert f"note: {text}" in shown
    assert join([tiny_copy]).notes == [text]
    with pytest.warns(UserWarning, match=name):
        runs = optbench.load(tiny_copy).runs
    if name == "runs/1.json":
        assert len(runs.query(f"cell_id == '{cell.name}' and seed == 1 and tuned")) == 0


def test_nothing_is_said_of_whole_records(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert optbench.load(tiny_copy).damage == {}
    assert _main(["status", str(tiny_copy)]) == COMPLETE
    assert "damaged" not in capsys.readouterr().out
    assert join([tiny_copy]).notes == []


def test_a_run_of_a_later_seed_that_is_not_written_yet_is_no_damage(tiny_copy: Path) -> None:
    """As after an interruption between the curve of a run and its record."""
    store = CellStore(next((tiny_copy / "cells").iterdir()))
    store._write("curves/run-7.json", {"step": []})
    assert store.find_damage() == ""


def test_records_of_before_have_no_place_and_are_checked_by_their_seed(tiny_copy: Path) -> None:
    runs = next((tiny_copy / "cells").iterdir()) / "runs"
    for path in runs.iterdir():
        path.write_text(json.dumps(seal(unseal(json.loads(path.read_bytes())))))
    store = CellStore(runs.parent)
    assert store.find_damage() == ""
    shutil.copy(runs / "0.json", runs / "1.json")
    assert (store.run(1, True), store.find_damage()) == (None, "runs/1.json")


@pytest.mark.parametrize("name", ["plan.json", "environment.json", "planes.json"])
def test_a_changed_number_of_the_directory_is_noticed(
    name: str, tiny_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_number(tiny_copy / name)
    assert ResultsDirectory(tiny_copy).find_damage() == name
    code = _main(["status", str(tiny_copy)])
    output = capsys.readouterr()
    if name == "plan.json":
        assert (code, "plan.json is missing or damaged" in output.err) == (WRONG_USE, True)
    else:
        assert (code, f"{name} of {tiny_copy.name} is damaged" in output.out) == (SOME_FAILED, True)


def test_the_directory_of_before_has_no_seals_and_is_read(tiny_copy: Path) -> None:
    before = optbench.load(tiny_copy)
    for name in ("plan.json", "planes.json"):
        (tiny_copy / name).write_text(json.dumps(unseal(json.loads((tiny_copy / name).read_bytes()))))
    (tiny_copy / "environment.json").write_text(json.dumps(before.environments))
    after = optbench.load(tiny_copy)
    assert (after.plan, after.environments, after.planes) == (before.plan, before.environments, before.planes)
    assert after.damage == {}


def test_the_other_environments_survive(tmp_path: Path) -> None:
    directory = ResultsDirectory(tmp_path)
    directory.create()
    for key in ("one", "two"):
        directory.write_environment({"key": key, "memory_gib": 7.5})
    change_number(tmp_path / "environment.json")
    assert directory.environments() == {"two": {"key": "two", "memory_gib": 7.5}}
    assert directory.find_damage() == "environment.json"
    directory.write_environment({"key": "two", "memory_gib": 7.5})
    assert directory.find_damage() == ""


def test_a_seal_covers_the_place() -> None:
    sealed = seal({"loss": 0.5}, "cell/runs/1")
    assert unseal(sealed, "cell/runs/1") == unseal(sealed) == {"loss": 0.5}
    with pytest.raises(DamagedRecord, match="belongs elsewhere"):
        unseal(sealed, "cell/runs/2")
    with pytest.raises(DamagedRecord, match="checksum"):
        unseal({**sealed, "place": seal({}, "cell/runs/2")["place"]}, "cell/runs/2")
    assert unseal(seal({"loss": 0.5}), "cell/runs/2") == {"loss": 0.5}
