"""A results directory as a whole: what is refused, the lock, and starting over without loss for others."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from optbench.config.load import load_config
from optbench.errors import UserError
from optbench.results import atomic
from optbench.results.directory import ResultsDirectory
from optbench.results.migration import SCHEMA_VERSION


@pytest.fixture
def directory(tmp_path: Path) -> ResultsDirectory:
    """A new and empty results directory."""
    made = ResultsDirectory(tmp_path / "run")
    made.create()
    return made


def complaint(function: Any, *arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_new_directory_names_its_schema(directory: ResultsDirectory) -> None:
    assert json.loads((directory.folder / "format.json").read_bytes()) == {
        "schema": SCHEMA_VERSION,
        "optbench": version("optbench"),
    }
    directory.create()
    directory.check()


def test_a_directory_that_is_not_there(directory: ResultsDirectory) -> None:
    line = complaint(ResultsDirectory(directory.folder.parent / "rum").check)
    assert line == f"unknown results directory 'rum' in {directory.folder.parent}; did you mean 'run'? (accepted: run)"
    assert "(accepted: none)" in complaint(ResultsDirectory(Path("/nowhere/at/all")).check)


@pytest.mark.parametrize("other", ["notes.txt", ".hidden", "cells", ".format.json", "result.tmp"])
def test_a_foreign_folder_is_refused_and_left_alone(other: str, tmp_path: Path) -> None:
    (tmp_path / other).mkdir()
    for action in (ResultsDirectory(tmp_path).create, ResultsDirectory(tmp_path).clear):
        assert complaint(action) == f"{tmp_path} is not a results directory (it holds {other} and no format.json)"
    assert "is not a results directory (format.json is missing or invalid)" in complaint(
        ResultsDirectory(tmp_path).check
    )
    assert [p.name for p in tmp_path.iterdir()] == [other]


def test_an_empty_folder_may_become_one(tmp_path: Path) -> None:
    ResultsDirectory(tmp_path).create()
    assert (tmp_path / "format.json").exists()


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_killed_while_the_folder_is_made_it_can_be_made_again(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process cleans nothing up: its lock and its temporary file stay."""

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, moment, killed)
        patch.setattr(atomic.Path, "unlink", lambda *_, **__: None)
        with pytest.raises(SystemExit):
            ResultsDirectory(tmp_path).create()
    (tmp_path / ".lock").touch()
    assert list(tmp_path.glob(".format.json.*.tmp"))
    ResultsDirectory(tmp_path).create()
    ResultsDirectory(tmp_path).check()


@pytest.mark.parametrize("schema", [0, 3, -1, "1", "2", 1.0, True, None, [1], {}])
def test_another_schema_is_refused(schema: object, directory: ResultsDirectory) -> None:
    (directory.folder / "format.json").write_text(json.dumps({"schema": schema}))
    for action in (directory.create, directory.check):
        assert complaint(action) == (
            f"{directory.folder} has unknown schema version {schema!r} (accepted: 1, 2); choose another --name, or "
            "start over with --fresh"
        )


def test_another_schema_is_refused_with_the_version_that_wrote_it(directory: ResultsDirectory) -> None:
    (directory.folder / "format.json").write_text('{"schema": 7, "optbench": "9.1"}')
    assert f"{directory.folder} has unknown schema version 7, written by optbench 9.1 (accepted: 1, 2)" in complaint(
        directory.check
    )


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", "3", '{"version": 1}', "[" * 100_000])
def test_a_damaged_format_is_refused(damaged: str, directory: ResultsDirectory) -> None:
    (directory.folder / "format.json").write_text(damaged)
    for action in (directory.create, directory.check):
        assert "is not a results directory (format.json is missing or invalid)" in complaint(action)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"cannot write results directory {place}: " in complaint(ResultsDirectory(place).create)
        assert f"cannot write results directory {place}: " in complaint(ResultsDirectory(place).lock)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    assert complaint(ResultsDirectory(tmp_path / "new").create).endswith("/new: No space left on device")


def test_the_lock_keeps_others_out_and_ends_with_its_block(directory: ResultsDirectory) -> None:
    locked = directory.lock()
    with locked:
        line = complaint(directory.lock)
        assert line == f"another run is using {directory.folder}; wait until it ends or choose another --name"
    with directory.lock():  # although `locked` is still there
        pass


HOLDER = """
import sys
from pathlib import Path
from optbench.results.directory import ResultsDirectory
with ResultsDirectory(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.processes
def test_the_lock_of_another_process_ends_with_it(directory: ResultsDirectory) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    assert "another run is using" in complaint(directory.lock)
    holder.kill()
    holder.communicate()
    with directory.lock():
        pass


def test_starting_over_removes_what_optbench_wrote_and_nothing_else(tiny_copy: Path) -> None:
    directory = ResultsDirectory(tiny_copy)
    for name in ("tables", "plots"):
        (tiny_copy / name).mkdir()
        (tiny_copy / name / "x.csv").write_text("")
    (tiny_copy / "notes.txt").write_text("mine")
    (tiny_copy / "report.html").write_text("page")  # where the report lies beside other folders than `results`
    (tiny_copy / "format.json").write_text('{"schema": 99}')
    with directory.lock():
        directory.clear()
    assert {p.name for p in tiny_copy.iterdir()} - {".lock"} == {"format.json", "notes.txt", "report.html"}
    directory.create()
    directory.check()


@pytest.mark.parametrize("stop", range(1, 8))
def test_stopped_while_starting_over_it_is_still_a_results_directory(
    stop: int, tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ResultsDirectory(tiny_copy)
    calls = 0
    unlink = Path.unlink

    def stopping(path: Path, missing_ok: bool = False) -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stopping)
        with suppress(KeyboardInterrupt):
            directory.clear()
    directory.check()
    directory.clear()
    assert {p.name for p in tiny_copy.iterdir()} - {".lock"} == {"format.json"}


def test_what_cannot_be_removed_is_said(directory: ResultsDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory.folder / "cells").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("optbench.results.directory.shutil.rmtree", refuse)
    assert complaint(directory.clear) == f"cannot clear results directory {directory.folder}: Permission denied"


def test_a_configuration_reads_back_and_is_written_once(directory: ResultsDirectory) -> None:
    config = load_config("quick")
    directory.write_config(config)
    assert directory.config() == config
    path = directory.folder / "config.toml"
    before = path.stat().st_mtime_ns, path.stat().st_ino
    directory.write_config(config)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    directory.write_config(load_config("full"))
    assert directory.config() == load_config("full")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_configuration_that_is_missing_or_no_text(content: bytes | None, directory: ResultsDirectory) -> None:
    if content is not None:
        (directory.folder / "config.toml").write_bytes(content)
    assert "has no configuration" in complaint(directory.config)


def test_a_damaged_configuration_is_located(directory: ResultsDirectory) -> None:
    (directory.folder / "config.toml").write_text("seeds = 'x'")
    assert str(directory.folder / "config.toml") in complaint(directory.config)


CELL: dict[str, Any] = {
    "cell_id": "a", "problem": "p", "optimizer": "o", "batch_size": 1, "device": "cpu", "schedule": "constant",
    "tuned": True, "arguments": {"betas": (0.9, 0.99)}, "defaults": {}, "lr_range": [0.1, 1], "metric_name": "loss",
    "metric_higher_is_better": False, "target": 0.5,
}  # fmt: skip
PLAN: dict[str, Any] = {"seeds": [0, 1], "cells": [CELL]}


def test_a_plan_reads_back_and_is_written_once(directory: ResultsDirectory) -> None:
    directory.write_plan(PLAN)
    assert directory.plan() == json.loads(json.dumps(PLAN))
    before = (directory.folder / "plan.json").stat().st_ino
    directory.write_plan(PLAN)
    assert (directory.folder / "plan.json").stat().st_ino == before
    directory.write_plan({**PLAN, "seeds": [0]})
    assert directory.plan()["seeds"] == [0]


@pytest.mark.parametrize("content", [None, "", "{", "3", "[1]", "{}", "[" * 100_000])
def test_a_plan_that_is_missing_or_damaged(content: str | None, directory: ResultsDirectory) -> None:
    if content is not None:
        (directory.folder / "plan.json").write_text(content)
    assert complaint(directory.plan) == f"{directory.folder} has no plan (plan.json is missing or damaged)"
    directory.write_plan(PLAN)
    assert directory.plan()["seeds"] == [0, 1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cells": None}, "its cells are not a list"),
        ({"seeds": ["0"]}, "its seeds or studies are not integers"),
        ({"seeds": 3}, "its seeds or studies are not integers"),
        ({"studies": "many"}, "its seeds or studies are not integers"),
        ({"cells": [CELL, 3]}, "cell 1 is not a table"),
        *(({"cells": [{**CELL, name: 1.5}]}, f"cell 0 has an invalid {name}")
          for name in CELL if name not in ("target",)),
        ({"cells": [{**CELL, "target": "0.5"}]}, "cell 0 has an invalid target"),
        ({"cells": [{**CELL, "batch_size": True}]}, "cell 0 has an invalid batch_size"),
        ({"cells": [{**CELL, "lr_range": [1, 2, 3]}]}, "cell 0 has an invalid lr_range"),
        *(({"cells": [{**CELL, "cell_id": name}]}, "cell 0 has an invalid cell_id")
          for name in ("", ".", "..", "../../elsewhere", "/etc", "a\\b", "a\0b", "ä")),
        *(({"cells": [{k: v for k, v in CELL.items() if k != name}]}, f"cell 0 lacks {name}") for name in CELL),
    ],
)  # fmt: skip
def test_a_plan_of_another_make_is_refused(changed: dict[str, Any], said: str, directory: ResultsDirectory) -> None:
    (directory.folder / "plan.json").write_text(json.dumps({**PLAN, **changed}))
    assert complaint(directory.plan) == f"invalid plan {directory.folder / 'plan.json'}: {said}"


def test_environments_and_planes_add_up(directory: ResultsDirectory) -> None:
    one, two = {"key": "1", "cores": 2}, {"key": "2", "cores": 4}
    assert directory.environments() == directory.planes() == {}
    for environment in (one, two, one):
        directory.write_environment(environment)
    assert directory.environments() == {"1": one, "2": two}
    directory.add_planes({"valley": {"x": [1.0]}})
    directory.add_planes({"hill": {"x": [2.0]}})
    assert directory.planes() == {"valley": {"x": [1.0]}, "hill": {"x": [2.0]}}


@pytest.mark.parametrize("content", ["", "{", "3", "[1]", "null"])
def test_damaged_environments_and_planes_are_none(content: str, directory: ResultsDirectory) -> None:
    for name in ("environment.json", "planes.json"):
        (directory.folder / name).write_text(content)
    assert directory.environments() == directory.planes() == {}
    directory.write_environment({"key": "1"})
    assert directory.environments() == {"1": {"key": "1"}}
