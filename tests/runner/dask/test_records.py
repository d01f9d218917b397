"""Records that travelled are those that were written, in whatever order and however often they arrive."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.results.store import CellStore
from optbench.runner.dask.records import SendingDirectory, list_records, write_record

CURVE = {"step": [0, 1], "valid_loss": [1.0, float("nan")]}
RESULT = {"status": "ok", "seeds": [0, 1]}


def trial(number: int) -> dict[str, Any]:
    return {"trial": number, "status": "ok", "reports": {0: 1.5, 1: float("inf")}}


def run(seed: int, tuned: bool) -> dict[str, Any]:
    return {"seed": seed, "tuned": tuned, "status": "ok", "test_loss": 0.1 + seed}


def files(store: CellStore) -> dict[str, bytes]:
    paths = [path for path in store.folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(store.folder)): path.read_bytes() for path in paths}


@pytest.fixture
def sent(tmp_path: Path) -> tuple[CellStore, list[str]]:
    """A cell's store on a worker with everything that can be in one, and what was sent of it."""
    lines: list[str] = []
    store = SendingDirectory(tmp_path / "there", lines.append).cell("abc")
    store.write_cell({"problem": "tiny"})
    store.write_timing({"seconds_per_cost": 1e-6})
    store.write_fallback("not stacked: möglich")
    for number in range(3):
        store.append_trial(trial(number), CURVE)
    for seed in (0, 1):
        for tuned in (True, False):
            store.write_run(run(seed, tuned), CURVE)
    store.write_result(RESULT)
    return store, lines


def test_what_arrives_is_what_was_written_byte_by_byte(sent: tuple[CellStore, list[str]], tmp_path: Path) -> None:
    there, lines = sent
    here = CellStore(tmp_path / "here" / "abc")
    for line in lines:
        write_record(here, line)
    assert files(here) == files(there)
    assert len(files(here)) == 4 + 3 + 2 * 4 + 1  # cell, timing, fallback, trials; their curves; runs; result
    assert here.state([0, 1]) == "done"


@pytest.mark.parametrize("seed", range(5))
def test_records_that_are_announced_in_disorder_or_get_lost_come_with_the_whole_cell(
    seed: int, sent: tuple[CellStore, list[str]], tmp_path: Path
) -> None:
    there, lines = sent
    rng = random.Random(seed)
    here = CellStore(tmp_path / "here" / "abc")
    for line in rng.sample(lines[:-1], len(lines) - 4) + rng.sample(lines[:-1], 4):
        write_record(here, line)
        assert [record["trial"] for record in here.trials()] == list(range(len(here.trials())))
    assert here.state([0, 1]) == "missing"
    for line in lines:
        write_record(here, line)
    assert files(here) == files(there)


def test_a_worker_that_takes_over_knows_what_there_is(tiny_run: optbench.Results, tmp_path: Path) -> None:
    """All but the curves of trials, which nothing that is computed depends on."""
    for cell in tiny_run.directory.plan()["cells"]:
        there = tiny_run.directory.cell(cell["cell_id"])
        here = CellStore(tmp_path / cell["cell_id"])
        for line in list_records(there, (0, 1)):
            write_record(here, line)
        known = {name for name in files(there) if not name.startswith("curves/trial-")}
        assert known - {"cell.json", "result.json"} == {n for n in files(here) if not n.startswith("curves/trial-")}
        assert here.trials() == there.trials()
        assert all(here.run_curve(seed, True) == there.run_curve(seed, True) for seed in (0, 1))
        assert here.state((0, 1)) == "missing"


def test_nothing_else_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a record of a cell"):
        write_record(CellStore(tmp_path), '["unlink", "result.json"]')
