"""Writes that happen as a whole or not at all, whatever stops them and whenever."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.results import atomic
from optbench.results.atomic import append_json_line, read_json_lines, replace_nonfinite, write_bytes, write_json
from tests.support.waiting import wait_until


class Crash(BaseException):
    """The machine stops here."""


class Stops:
    """Stands in for a function of `os`: does its work, or stops before or after it."""

    def __init__(self, function: Callable[..., Any], at: int, after: bool, error: type[BaseException]) -> None:
        self.function, self.at, self.after, self.error = function, at, after, error
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls - 1 == self.at and not self.after:
            raise self.error
        found = self.function(*arguments)
        if self.calls - 1 == self.at:
            raise self.error
        return found


def test_what_is_written_is_there(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "file.bin"
    for content in (b"", b"one\n", b"\0" * 100_000):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(("name", "at"), [("fdopen", 0), ("fsync", 0), ("replace", 0), ("fsync", 1)])
def test_a_write_that_stops_leaves_the_old_or_the_new(
    name: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before or after that call, with or without an old file, by each kind of error."""
    cases = itertools.product((None, b"old content"), (False, True), (Crash, OSError, KeyboardInterrupt))
    for number, (old, after, error) in enumerate(cases):
        path = tmp_path / str(number) / "file.json"
        path.parent.mkdir()
        if old is not None:
            path.write_bytes(old)
        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, name, Stops(getattr(os, name), at, after, error))
            with pytest.raises(error):
                write_bytes(path, b"new")
        replaced = (name, at) == ("fsync", 1) or (name == "replace" and after)
        left = {p.name: p.read_bytes() for p in path.parent.iterdir()}  # no temporary file
        expected = b"new" if replaced else old
        assert left == ({} if expected is None else {path.name: expected}), (old, after, error)
        write_bytes(path, b"newer")
        assert path.read_bytes() == b"newer"


def test_everything_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that a power failure would show: content, fsync, rename, fsync of the folder."""
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def log_fsync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        size = "" if target.is_dir() else f" of {target.stat().st_size} bytes"
        events.append(f"fsync {'folder' if target.is_dir() else 'file'}{size}")
        fsync(descriptor)

    def log_replace(source: str, target: Path) -> None:
        events.append("rename")
        replace(source, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc to tell descriptors apart")
    monkeypatch.setattr(atomic.os, "fsync", log_fsync)
    monkeypatch.setattr(atomic.os, "replace", log_replace)
    write_bytes(tmp_path / "file", b"12345")
    assert events == ["fsync file of 5 bytes", "rename", "fsync folder"]
    events.clear()
    write_bytes(tmp_path / "new" / "newer" / "file", b"123")
    assert events == ["fsync folder", "fsync folder", "fsync file of 3 bytes", "rename", "fsync folder"]
    events.clear()
    append_json_line(tmp_path / "lines", [1])
    append_json_line(tmp_path / "lines", [2])
    assert events == ["fsync file of 4 bytes", "fsync folder", "fsync file of 8 bytes"]


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_results_are_for_everyone_whom_the_umask_allows(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "file", b"")
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


WRITER = """
import sys
from pathlib import Path
from optbench.results.atomic import append_json_line, write_json
folder = Path(sys.argv[1])
for number in range(10**9):
    write_json(folder / "value.json", {"number": number, "same": [number] * 2000})
    append_json_line(folder / "lines.jsonl", {"number": number, "same": [number] * 200})
"""


@pytest.mark.processes
def test_a_killed_process_leaves_whole_files(tmp_path: Path) -> None:
    """Kill -9 at random moments: the value is whole, and lines are missing at the end only."""
    rng = random.Random(0)
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)])
        lines = folder / "lines.jsonl"
        wait_until(lines.exists, "a first line", alive=lambda process=process: process.poll() is None)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.communicate()
        value = json.loads((folder / "value.json").read_bytes())
        assert value["same"] == [value["number"]] * 2000
        found = read_json_lines(lines)
        assert [line["number"] for line in found] == list(range(len(found)))
        assert all(line["same"] == [line["number"]] * 200 for line in found)
        assert len(found) in (value["number"], value["number"] + 1)
        leftovers = [p.name for p in folder.iterdir() if p.suffix not in (".json", ".jsonl")]
        assert all(name.startswith(".value.json.") and name.endswith(".tmp") for name in leftovers)


RECORDS = [{"trial": 0, "text": 'ä\n"x"'}, {"trial": 1, "lr": 1e-8}, {"trial": 2, "loss": None}]


def test_a_torn_last_line_is_dropped_wherever_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    assert read_json_lines(path) == []
    ends = [0]
    for record in RECORDS:
        append_json_line(path, record)
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends[1:])
        assert read_json_lines(path) == RECORDS[:complete]
        for record in RECORDS[complete:]:  # and what was lost is written again, to the same bytes
            append_json_line(path, record)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("tail", [b"\0" * 50, b'{"trial": 3', b"\xff\xfe", b"{}garbage"])
def test_what_a_power_failure_leaves_behind_is_cut_off(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_json_line(path, RECORDS[0])
    with path.open("ab") as file:
        file.write(tail)
    assert read_json_lines(path) == RECORDS[:1]
    append_json_line(path, RECORDS[1])
    assert read_json_lines(path) == RECORDS[:2]


def test_an_append_that_fails_loses_that_line_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines.jsonl"
    append_json_line(path, RECORDS[0])
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", Stops(os.fsync, 0, False, OSError))
        with pytest.raises(OSError):  # noqa: PT011
            append_json_line(path, RECORDS[1])
    assert read_json_lines(path)[:1] == RECORDS[:1]


_floats = st.floats()
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _floats | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(_values)
def test_no_number_that_is_none_reaches_the_disk(value: Any) -> None:
    """NaN and infinities become null, everything else stays what it is: the text is strict JSON."""

    def expected(value: Any) -> Any:
        if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
            return None
        if isinstance(value, list):
            return [expected(item) for item in value]
        if isinstance(value, dict):
            return {key: expected(item) for key, item in value.items()}
        return value

    text = json.dumps(replace_nonfinite(value), allow_nan=False)
    assert repr(json.loads(text)) == repr(expected(value))


def test_json_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": math.nan, 3: (1, math.inf), "ü": True})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"x": None, "3": [1, None], "ü": True}
    append_json_line(tmp_path / "a.jsonl", {"x": -math.inf})
    assert (tmp_path / "a.jsonl").read_bytes() == b'{"x": null}\n'


def test_what_json_does_not_know_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"1\n"


def test_a_line_behind_damage_is_not_lost(tmp_path: Path) -> None:
    """What can't be read is cut off before a line is appended, or every resume would append it again."""
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"n": 0}\ngarbage\n{"n": 1}\n')
    append_json_line(path, {"n": 2})
    assert read_json_lines(path) == [{"n": 0}, {"n": 2}]


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(atomic.ResultsWriteError) as caught:
        write_bytes(tmp_path / "page.html", b"")
    assert caught.value.filename == str(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
