"""Recordings are pytest-benchmark's documents; what is no such document is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from optbench.errors import UserError
from optbench.timing.recording import place, read, write
from optbench.timing.verdict import compare
from tests.support.recordings import MACHINE, document, recording


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng()
    blocks = {"a": rng.random(8) + 1, "b": rng.random(8) + 1}
    before = recording("base", blocks, {"a": {"operations": 3}}, {"b": "a"})
    write(place("base", tmp_path), before)
    after = read("base", tmp_path)
    assert after.machine == MACHINE
    for name in blocks:
        assert after.tests[name].blocks == tuple(map(float, blocks[name]))
    assert after.tests["a"].counters == {"operations": 3}
    assert after.tests["b"].reference == "a"
    stats = json.loads(place("base", tmp_path).read_text())["benchmarks"][0]["stats"]
    assert stats["median"] == pytest.approx(np.median(blocks["a"]))
    assert stats["stddev"] == pytest.approx(np.std(blocks["a"], ddof=1))
    assert (stats["min"], stats["max"], stats["rounds"]) == (min(blocks["a"]), max(blocks["a"]), 8)


def test_a_folder_of_autosaved_files_is_a_recording(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"{k:04d}_saved.json").write_text(json.dumps(document({"a": 1.0 + k})))
    assert read(str(tmp_path), tmp_path / "nowhere").tests["a"].blocks == (1.0, 2.0, 3.0)
    (tmp_path / "0003_saved.json").write_text(json.dumps(document({"a": 1.0}, machine={**MACHINE, "torch": "2.11.0"})))
    with pytest.raises(UserError, match="different machines or versions"):
        read(str(tmp_path), tmp_path)


def test_a_counter_that_differs_from_visit_to_visit_gates_nothing() -> None:
    found = recording("base", {"a": [1.0, 1.0]}, {"a": {"operations": 3, "bytes_allocated": 5}})
    other = document({"a": 1.0}, {"a": {"operations": 3, "bytes_allocated": 6}})
    assert type(found)("base", (*found.visits, other)).tests["a"].counters == {"operations": 3}


def test_a_block_holds_rare_work() -> None:
    """The mean of rounds that may differ; the median of rounds that make the same calls."""
    visit = document({"plain": 1.0, "same": 1.0, "merged": 1.0})
    plain, same, merged = visit["benchmarks"]
    for entry in (plain, same):
        entry["stats"]["mean"] = 1.5
    same["extra_info"]["same_calls"] = 120
    merged["extra_info"]["visits"] = 2
    merged["stats"]["data"] = [3.0, 4.0]
    tests = type(recording("", {"a": [1.0]}))("base", (visit,)).tests
    assert tests["plain"].blocks == (1.5,)
    assert tests["same"].blocks == (1.0,)
    assert tests["merged"].blocks == (3.0, 4.0)


def test_times_that_were_taken_in_other_ways_are_not_compared(tmp_path: Path) -> None:
    visits = [document({"a": 1.0 + k}) for k in range(8)]
    old = type(recording("", {"a": [1.0]}))("old", tuple(visits))
    new = type(old)("new", tuple(json.loads(json.dumps(visits))))
    for visit in new.visits:
        visit["benchmarks"][0]["extra_info"]["same_calls"] = 60
    with pytest.raises(UserError, match="median of rounds of the same 60 calls in new; record both"):
        compare(old, new)
    write(place("new", tmp_path), new)
    again = read("new", tmp_path)
    assert set(compare(new, again)["verdict"]) == {"can't tell"}
    with pytest.raises(UserError, match="record both with one version"):
        compare(old, again)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ('{"benchmarks": [', "is damaged"),
        ("[]", "is damaged"),
        ('{"machine_info": {}}', "is damaged"),
        ('{"benchmarks": []}', "contains no benchmark"),
        ('{"machine_info": [1], "benchmarks": [{"fullname": "a", "stats": {"median": 1}}]}', "is damaged"),
        ('{"benchmarks": [{"fullname": "a", "stats": {"median": 0}}]}', "is damaged"),
        ('{"benchmarks": [{"fullname": "a", "stats": {"median": NaN}}]}', "is damaged"),
    ],
)
def test_damaged_documents(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read(str(file), tmp_path)
    assert "\n" not in str(error.value)


def test_a_recording_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    write(place("before", tmp_path), recording("before", {"a": [1.0, 2.0]}))
    with pytest.raises(UserError, match="unknown recording 'befor'; did you mean 'before'"):
        read("befor", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no \.json file"):
        read(str(tmp_path / "empty"), tmp_path)


def test_visits_of_other_tests_are_no_recording() -> None:
    found = recording("base", {"a": [1.0]})
    mixed = type(found)("base", (*found.visits, document({"b": 1.0})))
    with pytest.raises(UserError, match="not every visit has a"):
        _ = mixed.tests
