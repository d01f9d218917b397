"""Results directories put together: what is taken from where, and what is left out and said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import optbench
from optbench.errors import UserError
from optbench.results.checksum import seal, unseal
from optbench.results.join import join
from optbench.results.machines import TIMING_COLUMNS


def part(source: Path, target: Path, *optimizers: str) -> Path:
    """A copy of a results directory with these optimizers alone."""
    shutil.copytree(source, target)
    plan = unseal(json.loads((target / "plan.json").read_bytes()))
    kept = [cell for cell in plan["cells"] if cell["optimizer"] in optimizers]
    for cell in plan["cells"]:
        if cell not in kept:
            shutil.rmtree(target / "cells" / cell["cell_id"])
    (target / "plan.json").write_text(json.dumps({**plan, "cells": kept}))
    return target


def change(folder: Path, file: str, **values: object) -> None:
    for path in folder.glob(f"cells/*/{file}"):
        path.write_text(json.dumps(seal({**unseal(json.loads(path.read_bytes())), **values})))


@pytest.fixture
def halves(tiny_run: optbench.Results, tmp_path: Path) -> tuple[Path, Path]:
    """The two optimizers of the tiny benchmark in two directories."""
    whole = tiny_run.directory.folder
    first, second = tiny_run.cells["optimizer"]
    return part(whole, tmp_path / "old", first), part(whole, tmp_path / "new", second)


def test_joined_halves_are_the_whole(tiny_run: optbench.Results, halves: tuple[Path, Path]) -> None:
    joined = join(halves)
    assert (joined.names, joined.notes, len(joined.machines)) == (["old", "new"], [], 1)
    for name in ("runs", "trials", "curves", "cells", "trajectories"):
        found, expected = getattr(joined, name), getattr(tiny_run, name)
        assert list(found.columns) == list(expected.columns)
        keys = [key for key in ("cell_id", "kind", "trial", "seed", "tuned", "step") if key in expected]
        pd.testing.assert_frame_equal(
            found.sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True), check_dtype=False
        )
    assert joined.planes == tiny_run.planes


def test_a_cell_that_both_have_is_taken_whole_from_the_fuller_one(tiny_run: optbench.Results, tmp_path: Path) -> None:
    whole = tiny_run.directory.folder
    name = tiny_run.cells["optimizer"].iloc[0]
    fewer, fuller = part(whole, tmp_path / "fewer", name), tmp_path / "fuller"
    shutil.copytree(whole, fuller)
    next(fewer.glob("cells/*/runs/1.json")).unlink()
    change(fewer, "runs/0.json", test_metric=123.0)
    joined = join([fewer, fuller])
    pd.testing.assert_frame_equal(joined.runs, tiny_run.runs, check_dtype=False)
    assert joined.notes == [
        "1 cells of fewer are taken from another directory, which has at least as many of their runs"
    ]
    same = join([fuller, shutil.copytree(whole, tmp_path / "same")])
    assert len(same.runs) == len(tiny_run.runs)


def test_another_budget_is_left_out(halves: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = halves
    change(new, "result.json", tuning_budget=1e6)
    with_old = join([old, new])
    assert len(with_old.cells) == 1
    [note] = with_old.notes
    assert note.startswith("1 cells of new on tiny are left out: their tuning budget is 1e+06, not ")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("problem_version", "99", "version of the problem is 99, not "),
        ("threads", 7, "number of threads is 7, not 1"),
        ("evaluations", 123, "number of evaluations is 123, not "),
    ],
)
def test_another_protocol_is_left_out(
    halves: tuple[Path, Path], tiny_run: optbench.Results, column: str, value: object, words: str
) -> None:
    """Of a problem that has changed, or trained or measured otherwise, figures can't be compared."""
    old, new = halves
    assert tiny_run.cells[column].notna().all()
    plan = unseal(json.loads((new / "plan.json").read_bytes()))
    for cell in plan["cells"]:
        cell[column] = value
    (new / "plan.json").write_text(json.dumps(plan))
    joined = join([old, new])
    assert len(joined.cells) == 1
    [note] = joined.notes
    assert note.startswith(f"1 cells of new on tiny are left out: their {words}")
    # A directory of an older version, which didn't say, contradicts nothing.
    for cell in plan["cells"]:
        del cell[column]
    (new / "plan.json").write_text(json.dumps(plan))
    joined = join([old, new])
    assert (len(joined.cells), joined.notes) == (2, [])


@pytest.fixture
def timed_halves(tiny_run: optbench.Results, halves: tuple[Path, Path]) -> tuple[Path, Path]:
    """The halves, as if their budget had been 2 seconds, for which the second one bought 3 times the examples."""
    budget, tuning = (float(tiny_run.cells[name].iloc[0]) for name in ("run_budget", "tuning_budget"))
    for place, half in enumerate(halves):
        factor = 3**place
        change(half, "cell.json", run_budget={"seconds": 2.0})
        change(half, "result.json", run_budget=budget * factor, tuning_budget=tuning * factor)
    return halves


def test_budgets_of_the_same_seconds_are_the_same(timed_halves: tuple[Path, Path]) -> None:
    joined = join(timed_halves)
    assert (len(joined.cells), joined.notes) == (2, [])
    assert joined.cells["run_budget"].nunique() == 2


def test_other_seconds_are_left_out(timed_halves: tuple[Path, Path]) -> None:
    change(timed_halves[1], "cell.json", run_budget={"seconds": 3.0})
    joined = join(timed_halves)
    assert len(joined.cells) == 1
    assert "their run budget seconds is 3, not 2" in joined.notes[0]


def test_namesakes_that_differ_bear_their_directory(halves: tuple[Path, Path]) -> None:
    old, new = halves
    plan = unseal(json.loads((new / "plan.json").read_bytes()))
    name = json.loads((old / "plan.json").read_bytes())["cells"][0]["optimizer"]
    plan["cells"][0]["optimizer"] = name
    (new / "plan.json").write_text(json.dumps(plan))
    joined = join([old, new])
    assert joined.cells["optimizer"].tolist() == [name, f"{name} (new)"]
    assert set(joined.runs["optimizer"]) == {name, f"{name} (new)"}
    assert joined.notes == [f"{name} of new differs from an earlier cell of the same name and is called {name} (new)"]


def test_timings_of_unlike_machines_are_dropped(halves: tuple[Path, Path]) -> None:
    new = halves[1]
    [(key, environment)] = json.loads((new / "environment.json").read_bytes()).items()
    other = {**unseal(environment), "key": "other", "processor": "Another Processor"}
    (new / "environment.json").write_text(json.dumps({key: environment, "other": other}))
    change(new, "result.json", environment="other")
    joined = join(halves)
    assert len(joined.machines) == 2
    assert joined.notes[0].startswith("timings are left out because they come from different machines: ")
    assert "Another Processor" in joined.notes[0]
    for name in ("runs", "trials", "curves", "cells"):
        frame = getattr(joined, name)
        there = [column for column in TIMING_COLUMNS if column in frame]
        assert there
        assert frame[there].isna().all().all(), name
    assert joined.runs["test_metric"].notna().all()


def test_what_is_refused(halves: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = halves
    with pytest.raises(UserError, match=r"no results directory is given \(accepted: one or more"):
        join([])
    with pytest.raises(UserError, match="is given twice"):
        join([old, new, old.parent / "new" / ".." / "old"])
    with pytest.raises(UserError, match=r"unknown results directory 'ne' in .*; did you mean 'new'"):
        join([old, tmp_path / "ne"])
    (new / "format.json").write_text('{"schema": 99}')
    with pytest.raises(UserError, match="has unknown schema version 99"):
        join([old, new])


def test_equal_names_are_told_apart_by_their_parents(halves: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = halves
    (tmp_path / "elsewhere").mkdir()
    moved = new.rename(tmp_path / "elsewhere" / "old")
    assert join([old, moved]).names == [f"{tmp_path.name}/old", "elsewhere/old"]


def test_partial_directories_are_joined(halves: tuple[Path, Path]) -> None:
    old, new = halves
    shutil.rmtree(new / "cells")
    joined = join([old, new])
    assert joined.cells["status"].tolist() == ["ok", "missing"]
    assert set(joined.runs["optimizer"]) == {joined.cells["optimizer"].iloc[0]}
