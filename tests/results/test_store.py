"""One cell's folder: what was written is read, damage is absence, and failures can be forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optbench.results import atomic
from optbench.results.load import Results
from optbench.results.store import CellStore

CURVE = {"step": [0, 1], "valid_loss": [1.0, 0.5]}


@pytest.fixture
def store(tmp_path: Path) -> CellStore:
    """The store of a cell of which nothing is there yet."""
    return CellStore(tmp_path / "cells" / "abc")


def trial(number: int, status: str = "ok") -> dict[str, Any]:
    return {"trial": number, "status": status}


def run(seed: int, tuned: bool = True, status: str = "ok") -> dict[str, Any]:
    return {"seed": seed, "tuned": tuned, "status": status}


def result(status: str = "ok", seeds: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    return {"status": status, "seeds": list(seeds)}


def test_nothing_is_there_at_first(store: CellStore) -> None:
    assert (store.trials(), store.result(), store.timing(), store.run(0, True)) == ([], None, None, None)
    assert (store.trial_curve(0), store.run_curve(0, False), store.count_trainings()) == (None, None, 0)
    assert store.state([0]) == "missing"
    assert not store.folder.exists()  # reading makes nothing


def test_what_was_written_is_read(store: CellStore) -> None:
    store.write_cell({"a": 1})
    store.append_trial(trial(0), CURVE)
    store.append_trial(trial(1), CURVE)
    store.write_run(run(0, True), CURVE)
    store.write_run(run(0, False), {**CURVE, "step": [0, 2]})
    store.write_timing({"seconds_per_step": 0.1})
    store.write_result(result())
    assert store.trials() == [trial(0), trial(1)]
    assert store.trial_curve(1) == CURVE
    assert (store.run(0, True), store.run(0, False)) == (run(0, True), run(0, False))
    assert (store.run_curve(0, True), store.run_curve(0, False)) == (CURVE, {**CURVE, "step": [0, 2]})
    assert store.timing() == {"seconds_per_step": 0.1}
    assert store.result() == result()
    assert store.count_trainings() == 4
    names = {str(path.relative_to(store.folder)) for path in store.folder.rglob("*.json*")}
    assert names == {
        "cell.json", "trials.jsonl", "timing.json", "result.json", "runs/0.json", "runs/0-default.json",
        "curves/trial-0.json", "curves/trial-1.json", "curves/run-0.json", "curves/run-0-default.json",
    }  # fmt: skip


def test_what_a_cell_is_is_written_once(store: CellStore) -> None:
    store.write_cell({"a": 1})
    before = (store.folder / "cell.json").stat().st_ino
    store.write_cell({"a": 1})
    assert (store.folder / "cell.json").stat().st_ino == before


@pytest.mark.parametrize("damaged", [b"", b"{", b"\0\0\0", b"\xff\xfe", b"3", b"[]", b"null"])
def test_damage_is_absence(damaged: bytes, store: CellStore) -> None:
    store.write_run(run(0), CURVE)
    store.append_trial(trial(0), CURVE)
    store.write_timing({"seconds_per_step": 0.1})
    store.write_result(result())
    for path in store.folder.rglob("*.json"):
        path.write_bytes(damaged)
    assert (store.run(0, True), store.run_curve(0, True), store.trial_curve(0)) == (None, None, None)
    assert (store.timing(), store.result(), store.state([0, 1])) == (None, None, "missing")


@pytest.mark.parametrize("write", ["append_trial", "write_run"])
def test_whatever_is_listed_has_its_curve(write: str, store: CellStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between the two writes, the curve may be there without its record, never the other way round."""
    writes: list[str] = []

    def stop_at_the_second(path: Path, *_: Any) -> None:
        writes.append(path.parent.name)
        if len(writes) == 2:
            raise KeyboardInterrupt

    for name in ("write_json", "append_json_line"):
        monkeypatch.setattr(f"optbench.results.store.{name}", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        getattr(store, write)({**trial(0), **run(0)}, CURVE)
    assert writes[0] == "curves"


@pytest.mark.parametrize("status", ["ok", "diverged", "skipped"])
def test_a_cell_is_done_for_the_seeds_that_it_has(status: str, store: CellStore) -> None:
    store.write_result(result(status, (0, 1)))
    assert store.state([0, 1]) == store.state([1]) == store.state([]) == "done"
    assert store.state([0, 1, 2]) == "missing"


@pytest.mark.parametrize("status", ["error", "oom", "timeout"])
def test_a_failed_cell_stays_failed_until_it_is_forgotten(status: str, store: CellStore) -> None:
    for seed in (0, 1):
        store.write_run(run(seed), CURVE)
    store.write_run(run(2, status=status), CURVE)
    store.write_run(run(3, status="skipped"), CURVE)
    store.append_trial(trial(0, "diverged"), CURVE)
    store.append_trial(trial(1), CURVE)
    store.append_trial(trial(2, status), CURVE)
    store.write_result(result(status, ()))
    assert store.state([0]) == store.state([0, 9]) == "failed"
    store.forget_failures()
    assert store.state([0]) == "missing"
    assert store.trials() == [trial(0, "diverged"), trial(1)]
    assert [store.run(seed, True) is not None for seed in range(4)] == [True, True, False, True]


def test_forgetting_leaves_the_bytes_of_the_rest(store: CellStore) -> None:
    store.append_trial({**trial(0), "lr": 1e-8, "text": "ä"}, CURVE)
    before = (store.folder / "trials.jsonl").read_bytes()
    store.append_trial(trial(1, "error"), CURVE)
    store.forget_failures()
    assert (store.folder / "trials.jsonl").read_bytes() == before


def test_forgetting_also_removes_damaged_runs(store: CellStore) -> None:
    store.write_run(run(0), CURVE)
    (store.folder / "runs" / "0.json").write_bytes(b"{")
    store.forget_failures()
    assert store.count_trainings() == 0


def test_forgetting_where_nothing_is_there(store: CellStore) -> None:
    store.forget_failures()
    assert store.state([0]) == "missing"


def test_two_workers_cannot_hold_one_cell(store: CellStore) -> None:
    from filelock import Timeout

    with store.lock(), pytest.raises(Timeout), store.lock().acquire(timeout=0):
        pass
    with store.lock():
        pass


def test_the_marker_comes_last(tiny_run: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a whole run, `result.json` is the last thing that is written of a cell."""
    from tests.support.tiny import run_tiny

    written: list[Path] = []
    replace = atomic.os.replace

    def log(source: str, target: Path) -> None:
        written.append(Path(target))
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", log)
    run_tiny(tmp_path / "run", optimizers=["sgd"])
    of_the_cell = [path for path in written if "cells" in path.parts]
    assert of_the_cell[-1].name == "result.json"
    assert [path.name for path in of_the_cell].count("result.json") == 1
    assert len(of_the_cell) > 5
