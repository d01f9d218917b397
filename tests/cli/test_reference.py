"""Frozen results, and the reference that comes with optbench: whole, intact, of today's problems."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import optbench
from optbench.baselines.against import load_stored_results
from optbench.baselines.freeze import freeze
from optbench.baselines.located import PRESETS, SHIPPED, decode_location, encode_location, locate, reference_folder
from optbench.baselines.stale import find_stale_cells
from optbench.cli.verbs import COMPLETE, WRONG_USE, _main
from optbench.errors import UserError
from optbench.results.frozen import FrozenResults
from optbench.results.machines import TIMING_COLUMNS
from tests.support.tiny import TINY, run_tiny


def test_frozen_frames_are_the_frames_without_times(tiny_run: optbench.Results, tmp_path: Path) -> None:
    frozen = freeze(tiny_run, tmp_path / "frozen")
    for name in ("runs", "trials", "curves", "cells"):
        found, expected = getattr(frozen, name), getattr(tiny_run, name)
        kept = [column for column in expected if column not in TIMING_COLUMNS]
        pd.testing.assert_frame_equal(found[kept], expected[kept], check_dtype=False)
    assert frozen.planes == tiny_run.planes
    assert frozen.identities == tiny_run.identities
    assert freeze(tiny_run, tmp_path / "again").about["version"] == frozen.about["version"]


def test_what_is_not_complete_is_not_frozen(partly_failed_run: optbench.Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 of 2 cells are not done"):
        freeze(partly_failed_run, tmp_path / "frozen")
    assert not (tmp_path / "frozen").exists()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "verb"),
    [
        (_flip, ("plan", "--problem", TINY, "--optimizer", "adadelta", "--against")),
        (Path.unlink, ("compare",)),
        (lambda path: path.write_bytes(b""), ("reference", "show")),
        (_flip, ("compare",)),
        (_flip, ("reference", "show")),
    ],
)
def test_damage_is_found(
    damage: Callable[[Path], object], verb: tuple[str, ...], tiny_run: optbench.Results, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Also by what wouldn't read the file."""
    frozen = freeze(tiny_run, tmp_path / "frozen")
    damage(frozen.folder / "runs.parquet")
    assert _main([*verb, str(frozen.folder)]) == WRONG_USE
    err = capsys.readouterr().err
    assert "runs.parquet is missing or damaged; create or install the frozen results again\n" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "lacking"),
    [("plan", [], "plan"), ("config", 3, "config"), ("planes", None, "planes"), ("plan", {}, "cells or seeds of its")],
)
def test_a_description_of_the_wrong_shape_is_refused(
    name: str, value: object, lacking: str, tiny_run: optbench.Results, tmp_path: Path
) -> None:
    about = freeze(tiny_run, tmp_path / "frozen").folder / "about.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), name: value}))
    with pytest.raises(UserError, match=rf"about\.json of frozen results .* lacks (the )?{lacking}"):
        FrozenResults(about.parent)


@pytest.fixture(scope="module")
def registered_run(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    """Results whose configuration names no code."""
    folder = tmp_path_factory.mktemp("registered") / "run"
    return run_tiny(folder, problems=["quadratic_valley[examples=20]"], batch_sizes=[10], devices=["cpu"])


def test_cells_of_an_older_version_of_a_problem_are_named_and_left_out(
    registered_run: optbench.Results, tmp_path: Path
) -> None:
    frozen = freeze(registered_run, tmp_path / "frozen")
    assert find_stale_cells(frozen) == {}
    about = json.loads((frozen.folder / "about.json").read_text())
    for place, cell in enumerate(about["plan"]["cells"]):
        identity = about["identities"].pop(cell["cell_id"])
        today = identity["problem"]["version"]
        about["identities"][f"old{place}"] = {**identity, "problem": {**identity["problem"], "version": today - 1}}
        cell["cell_id"] = f"old{place}"
    (frozen.folder / "about.json").write_text(json.dumps(about))
    stale = find_stale_cells(FrozenResults(frozen.folder))
    assert set(stale) == set(about["identities"])
    assert set(stale.values()) == {f"problem version is {today}, and was {today - 1}"}
    with pytest.raises(UserError, match=r"all cells of frozen are out of date: .* on quadratic_valley"):
        load_stored_results(frozen.folder)


def test_a_stale_optimizer_goes_alone(registered_run: optbench.Results, tmp_path: Path) -> None:
    folder = freeze(registered_run, tmp_path / "frozen").folder
    about = json.loads((folder / "about.json").read_text())
    cell = about["plan"]["cells"][0]
    old = cell["cell_id"]
    about["identities"]["old"] = {**about["identities"].pop(old), "evaluations": 99}
    cell["cell_id"] = "old"
    (folder / "about.json").write_text(json.dumps(about))
    stored, notes = load_stored_results(folder)
    assert [entry["optimizer"] for entry in stored.plan["cells"]] == [about["plan"]["cells"][1]["optimizer"]]
    assert len(notes) == 1
    assert cell["optimizer"] in notes[0]
    assert "and was 99" in notes[0]


def test_names_lead_to_folders(tiny_copy: Path, tmp_path: Path) -> None:
    assert locate("run", tiny_copy.parent) == tiny_copy
    assert locate(str(tiny_copy), tmp_path / "elsewhere") == tiny_copy
    for name in SHIPPED:
        folder = locate(name, tmp_path)
        assert folder == reference_folder(name)
        assert encode_location(folder) == name
        assert decode_location(name) == folder
    assert encode_location(tiny_copy) == str(tiny_copy)
    with pytest.raises(UserError, match=r"did you mean 'reference'"):
        locate("referense", tmp_path)


@pytest.fixture(scope="module", params=SHIPPED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def shipped(name: str) -> FrozenResults:
    return FrozenResults(reference_folder(name))


def test_shipped_references_are_of_today(name: str, shipped: FrozenResults) -> None:
    """Where this fails, a problem or a built-in optimizer has changed: `make reference` computes them again."""
    assert find_stale_cells(shipped) == {}
    assert set(shipped.cells["status"]) == {"ok"}
    today = {cell.id for cell in optbench.plan(preset=PRESETS[name], devices=["cpu"]).cells}
    assert {cell["cell_id"] for cell in shipped.plan["cells"]} == today
    assert max(path.stat().st_size for path in shipped.folder.iterdir()) < 1_000_000


def test_presets_without_a_reference_need_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["reference", "make", "--preset", "standard"]) == WRONG_USE
    assert capsys.readouterr().err == (
        "optbench: no results of the preset standard ship with optbench (accepted: quick, recipe, or --output DIR)\n"
    )


def test_show(name: str, shipped: FrozenResults, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["reference", "show", *([name] if name != "reference" else [])]) == COMPLETE
    out = capsys.readouterr().out
    assert shipped.about["version"] in out
    assert "up to date" in out
    assert "out of date" not in out
    shutil.copytree(shipped.folder, tmp_path / "copy")
    (tmp_path / "copy" / "about.json").write_text("{}")
    assert _main(["reference", "show", str(tmp_path / "copy")]) == WRONG_USE
