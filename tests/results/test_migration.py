"""Directories as earlier versions wrote them: read, reported and gone on with, their figures as they were."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import optbench
from optbench.metrics.registry import TABLES
from optbench.results.checksum import unseal
from optbench.results.directory import ResultsDirectory
from optbench.results.load import Results
from optbench.results.migration import READABLE, SCHEMA_VERSION, migrate_plan

STORED = Path(__file__).parent / "stored"
ALL = sorted(path.name for path in STORED.iterdir() if path.is_dir())
COLUMNS = ("execution", "sampler", "problem_version", "threads", "evaluations")
CHOICES: dict[str, Any] = {
    "problems": ["quadratic_valley[dim=2]"], "optimizers": ["momentum"], "batch_sizes": [100], "seeds": 2,
    "run_budget": "1000examples", "tuning_worth": 2, "devices": ["cpu"],
}  # fmt: skip


@pytest.fixture(params=ALL)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED / request.param, tmp_path / request.param))


def go_on(folder: Path, monkeypatch: pytest.MonkeyPatch, **choices: Any) -> Results:
    monkeypatch.setattr("optbench.training.landscape.POINTS", 9)
    arguments = {"name": folder.name, "results": folder.parent, "engine": "serial", "outputs": False}
    return optbench.run(**arguments, **{**CHOICES, **choices})


def records(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("cells/**/*") if p.suffix in (".json", ".jsonl")
    }


def schema_of(folder: Path) -> int:
    return int(json.loads((folder / "format.json").read_bytes())["schema"])


def test_every_schema_has_a_directory_and_the_last_is_the_present_one() -> None:
    assert {schema_of(STORED / name) for name in ALL} == set(READABLE)
    assert max(READABLE) == SCHEMA_VERSION
    assert sum(path.stat().st_size for path in STORED.rglob("*")) < 300_000


def test_frames_are_what_its_records_say(stored: Path) -> None:
    """Read field by field, without the package."""
    before = {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()}
    results = optbench.load(stored)
    (folder,) = (stored / "cells").iterdir()
    expected = {}
    for path in (folder / "runs").iterdir():
        record = json.loads(path.read_text())
        expected[record["seed"], record["tuned"]] = record
    assert len(results.runs) == len(expected) == 4
    for row in results.runs.itertuples():
        record = expected[row.seed, row.tuned]
        assert (row.test_metric, row.valid_loss, row.lr) == (
            record["test_metric"], record["valid_loss"], record["hyperparameters"]["lr"],
        )  # fmt: skip
        assert row.cost == record["thirds"] / 3
        assert row.hp_momentum == 0.9
    lines = map(json.loads, (folder / "trials.jsonl").read_text().splitlines())
    trials = {trial["trial"]: trial for trial in lines}  # of a trial that was continued, the last line counts
    assert results.trials["valid_loss"].tolist() == [trial["valid_loss"] for _, trial in sorted(trials.items())]
    points = [len(json.loads(path.read_text())["step"]) for path in (folder / "curves").iterdir()]
    assert len(results.curves) == sum(points)
    (cell,) = results.cells.to_dict("records")
    identity = json.loads((folder / "cell.json").read_text())
    assert cell["status"] == "ok"
    assert cell["problem_version"] == str(identity["problem"]["version"])
    assert (cell["threads"], cell["evaluations"]) == (identity["threads"], identity["evaluations"])
    assert (cell["sampler"], cell["studies"]) == ("tpe", 1)
    assert {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()} == before, "reading writes nothing"


def test_its_leaderboard_is_made(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optbench.plots.draw_all", lambda *_: [])
    monkeypatch.setattr("optbench.reporting.page.report_page", lambda *_: "")
    monkeypatch.setattr("optbench.metrics.tables.TABLES", {})
    optbench.report(stored)
    board = pd.read_parquet(stored / "tables" / "leaderboard.parquet")
    median = optbench.load(stored).runs.query("tuned")["test_metric"].median()
    assert math.isclose(board["test_metric"].iloc[0], median)
    assert schema_of(stored) == schema_of(STORED / stored.name)


# The oldest lacks most.
@pytest.mark.parametrize("name", [ALL[0], *(pytest.param(name, marks=pytest.mark.slow) for name in ALL[1:])])
def test_it_is_reported_with_all_tables(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(STORED / name, tmp_path / name))
    monkeypatch.setattr("optbench.plots.draw_all", lambda *_: [])
    page = optbench.report(folder)
    assert page.stat().st_size > 100_000
    assert {path.stem for path in (folder / "tables").glob("*.parquet")} >= {"leaderboard", "audit", *TABLES}


def test_a_run_goes_on_in_it(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was computed stays, byte by byte, and is taken for what it is: the cell of the same id, or another one."""
    before, cells = records(stored), sorted(path.name for path in (stored / "cells").iterdir())
    results = go_on(stored, monkeypatch, seeds=3)
    after = records(stored)
    touched = {name for name in before if after[name] != before[name]}
    (present,) = results.plan["cells"]
    if present["cell_id"] in cells:
        assert len(list((stored / "cells").iterdir())) == 1
        assert {Path(name).name for name in touched} == {"result.json"}  # it has a further seed
    else:
        assert len(list((stored / "cells").iterdir())) == 2
        assert not touched
    assert schema_of(stored) == SCHEMA_VERSION
    assert sorted(results.states().values()) == ["done"]
    assert len(results.runs) == 6


def test_the_directories_that_have_the_cell_of_today_go_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the very figures that a run of today has (on the machine that wrote them; elsewhere up to rounding)."""
    fresh = go_on(tmp_path / "fresh", monkeypatch, seeds=3)
    resumed = 0
    for name in ALL:
        folder = Path(shutil.copytree(STORED / name, tmp_path / name))
        if fresh.plan["cells"][0]["cell_id"] in [path.name for path in (folder / "cells").iterdir()]:
            runs = go_on(folder, monkeypatch, seeds=3).runs
            pd.testing.assert_series_equal(runs["test_metric"], fresh.runs["test_metric"], rtol=1e-3)
            resumed += 1
    assert resumed >= 1, "not even the last one: has an id changed without a word in CHANGELOG.md?"


def test_a_migration_that_was_stopped_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(STORED / "1-first", tmp_path / "run"))
    directory = ResultsDirectory(folder)
    seen = directory.plan()
    with monkeypatch.context() as patch:
        patch.setattr(ResultsDirectory, "_write_format", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            directory.migrate()
    assert schema_of(folder) == 1
    assert directory.plan() == seen
    assert directory.migrate()
    assert not directory.migrate()
    assert schema_of(folder) == SCHEMA_VERSION
    assert directory.plan() == seen
    assert unseal(json.loads((folder / "plan.json").read_text())) == seen


def test_what_nobody_wrote_down_is_missing() -> None:
    plan = {"seeds": [0], "cells": [{"cell_id": "a", "tuned": True}, {"cell_id": "b", "tuned": False, "threads": 4}]}
    known = {"b": {"problem": {"version": 3, "source": "0123456789abcdef"}, "threads": 2}}
    first, second = migrate_plan(plan, 1, known.get)["cells"]
    assert {name: first[name] for name in COLUMNS} == {
        "execution": "eager", "sampler": None, "problem_version": None, "threads": None, "evaluations": None,
    }  # fmt: skip
    assert (second["problem_version"], second["threads"], second["sampler"]) == ("3 0123456789ab", 4, "")
