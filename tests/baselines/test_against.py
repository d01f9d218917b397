"""New cells beside stored ones: the figures of one directory, computed once, and no time of another machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import optbench
from optbench.baselines.against import ComparedResults, load_with_baseline
from optbench.baselines.freeze import freeze
from optbench.errors import UserError
from optbench.metrics.performance_profile import performance_profile
from optbench.metrics.target_summary import select_times
from optbench.metrics.targets import list_targets
from optbench.metrics.time_to_target import time_to_target
from optbench.metrics.verdicts import verdicts
from optbench.results.checksum import unseal
from optbench.results.directory import ResultsDirectory
from optbench.results.machines import TIMING_COLUMNS
from tests.support.drawn import only
from tests.support.tiny import run_tiny


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    """Three optimizers on nine seeds, in one directory."""
    folder = tmp_path_factory.mktemp("against") / "whole"
    return run_tiny(folder, optimizers=["sgd", "adam", "adadelta"], seeds=9)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of them, frozen."""
    folder = tmp_path_factory.mktemp("stored")
    old = run_tiny(folder / "old", optimizers=["sgd", "adam"], seeds=9)
    return freeze(old, folder / "frozen").folder


@pytest.fixture(scope="module")
def new(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the third one against these. Only to be read."""
    folder = tmp_path_factory.mktemp("against") / "new"
    run_tiny(folder, against=stored, optimizers=["adadelta"], seeds=9)
    return folder


def read(folder: Path) -> ComparedResults:
    found = load_with_baseline(ResultsDirectory(folder))
    assert isinstance(found, ComparedResults)
    return found


def compared(folder: Path, stored: Path, **choices: object) -> ComparedResults:
    run_tiny(folder, against=stored, **{"optimizers": ["adadelta"], "seeds": 9, **choices})
    return read(folder)


def test_verdicts_from_frozen_frames_are_those_of_one_directory(whole: optbench.Results, new: Path) -> None:
    found = read(new)
    expected = verdicts(whole.runs, whole.cells)
    keys = ["problem", "batch_size", "optimizer"]
    pd.testing.assert_frame_equal(
        verdicts(found.runs, found.cells).sort_values(keys, ignore_index=True),
        expected.sort_values(keys, ignore_index=True),
        check_dtype=False,
    )
    assert set(expected["verdict"]) - {"inconclusive"}, "nine seeds decide something"
    for text in ("adadelta", "adam, sgd", "torch"):
        assert text in found.baseline


def test_only_new_cells_are_computed(stored: Path, tmp_path: Path) -> None:
    found = compared(tmp_path / "new", stored, optimizers=["adam", "adadelta"])
    own = {path.name for path in (tmp_path / "new" / "cells").iterdir()}
    assert own == set(found.cells.loc[found.cells["optimizer"] == "adadelta", "cell_id"])
    assert set(found.cells["optimizer"]) == {"sgd", "adam", "adadelta"}


def test_times_are_of_the_own_machine_alone(stored: Path, new: Path) -> None:
    for frame in stored.glob("*.parquet"):
        kept = pd.read_parquet(frame)
        assert kept[[name for name in TIMING_COLUMNS if name in kept]].isna().all(axis=None), frame
    found = read(new)
    timed = found.cells["step_ms"].notna()
    assert set(found.cells.loc[timed, "optimizer"]) == {"adadelta"}
    assert any(text.startswith("Times are from this machine only") for text in found.warnings)
    times = time_to_target(found.runs, found.curves, found.cells, list_targets(found.cells))
    # A stored run that misses is infinitely late in cost; in seconds nothing is known of it.
    times["reached"] = pd.array([False] * len(times), dtype="boolean")
    profile = performance_profile(select_times(times, found.runs, found.cells))
    by = {str(measure): set(part["optimizer"]) for measure, part in profile[profile["units"] > 0].groupby("measure")}
    assert by["cost"] == {"sgd", "adam", "adadelta"}
    assert by.get("seconds", set()) <= {"adadelta"}


def test_timings_of_another_directory_of_the_same_machine_stay(tmp_path: Path) -> None:
    run_tiny(tmp_path / "old", optimizers=["sgd"])
    same = compared(tmp_path / "new", tmp_path / "old", seeds=2)
    assert same.cells["step_ms"].notna().all()
    known = tmp_path / "old" / "environment.json"
    content = json.loads(known.read_text())
    known.write_text(json.dumps({key: {**unseal(entry), "processor": "another"} for key, entry in content.items()}))
    other = load_with_baseline(ResultsDirectory(tmp_path / "new"))
    timed = other.cells.set_index("optimizer")["step_ms"].notna()
    assert timed["adadelta"]
    assert not timed["sgd"]


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [
        ({"seeds": 8}, r"seeds = 8 does not match frozen, which has 9"),
        ({"run_budget": "3epochs"}, r"run budget of tiny is 600, but 400 in frozen"),
        ({"tuning_worth": 7.0}, r"tuning worth of tiny is 7\.0, but"),
        ({"batch_sizes": [20]}, r"batch size '?20"),
        ({"optimizers": ["adam"]}, r"already in frozen; add a new optimizer"),
    ],
)
def test_what_is_unfair_is_refused_and_named(
    stored: Path, tmp_path: Path, choices: dict[str, object], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        compared(tmp_path / "new", stored, **choices)
    assert not (tmp_path / "new" / "cells").exists()


def test_unequal_starts_are_told(new: Path, tmp_path: Path) -> None:
    assert not [text for text in read(new).warnings if "not paired" in text]
    changed = Path(shutil.copytree(new, tmp_path / "new"))
    for path in changed.glob("cells/*/curves/run-*.json"):
        record = json.loads(path.read_text())
        record.pop("checksum")
        record["valid_loss"][0] *= 1.5
        path.write_text(json.dumps(record))
    assert [text for text in read(changed).warnings if "not paired" in text]


def test_seconds_are_refused(new: Path) -> None:
    with pytest.raises(UserError, match=r"cost_to_target"):
        load_with_baseline(ResultsDirectory(new), "seconds_to_target")


def test_the_page_says_whose_cells_are_whose(
    stored: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(new, tmp_path / "new"))
    with only():
        run_tiny(folder, against=stored, optimizers=["adadelta"], seeds=9, outputs=True)
    page = (folder / "report.html").read_text()
    about = json.loads((stored / "about.json").read_text())
    assert f"frozen {about['version']} was created on {about['made']}" in page
    assert "Times are from this machine only" in page
    board = pd.read_parquet(folder / "tables" / "leaderboard.parquet")
    assert set(board["optimizer"]) == {"sgd", "adam", "adadelta"}
    shutil.rmtree(folder / "tables")
    monkeypatch.setattr("optbench.metrics.tables.TABLES", {})
    monkeypatch.setattr("optbench.reporting.page.report_page", lambda *_: "")
    with only():
        optbench.report(folder)
    again = pd.read_parquet(folder / "tables" / "leaderboard.parquet")
    assert np.array_equal(again["rank"], board["rank"])
