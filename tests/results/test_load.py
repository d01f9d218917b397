"""`optbench.load`: what it opens, what it refuses, and that it reads when asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import optbench
from optbench.errors import UserError
from optbench.results.checksum import unseal
from optbench.results.frames import collect
from optbench.results.load import Results


def test_frames_are_what_the_directory_holds(tiny_run: Results) -> None:
    loaded = optbench.load(str(tiny_run.directory.folder))
    frames = collect(tiny_run.directory)
    for name in ("runs", "trials", "curves", "cells", "trajectories"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(frames, name))


def test_frames_are_read_once_and_when_asked(tiny_copy: Path) -> None:
    loaded = optbench.load(tiny_copy)
    for path in tiny_copy.glob("cells/*/runs/*-default.json"):
        path.unlink()
    assert len(loaded.runs) == 4  # not the eight that were there when it was opened
    assert loaded.runs is loaded.runs


def test_states_and_text(tiny_run: Results, partly_failed_run: Results, tiny_copy: Path) -> None:
    assert sorted(tiny_run.states().values()) == ["done", "done"]
    assert repr(tiny_run).endswith(": 2 of 2 cells>")
    assert sorted(partly_failed_run.states().values()) == ["done", "failed"]
    assert repr(partly_failed_run).endswith(": 1 of 2 cells, 1 failed>")
    next(tiny_copy.glob("cells/*/result.json")).unlink()
    assert sorted(optbench.load(tiny_copy).states().values()) == ["done", "missing"]


def test_more_seeds_than_there_are_leave_a_cell_missing(tiny_copy: Path) -> None:
    plan = unseal(json.loads((tiny_copy / "plan.json").read_bytes()))
    (tiny_copy / "plan.json").write_text(json.dumps({**plan, "seeds": [0, 1, 2]}))
    assert set(optbench.load(tiny_copy).states().values()) == {"missing"}


def test_planes(tiny_run: Results) -> None:
    [(label, plane)] = tiny_run.planes.items()
    assert label == "tiny"
    assert (plane["start"], plane["minimum"]) == ([-2.0, 1.0], [0.0, 0.0])
    assert len(plane["value"]) == len(plane["y"])
    assert len(plane["value"][0]) == len(plane["x"])


def test_what_is_refused(tiny_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown results directory 'rin' in .*; did you mean 'run'"):
        optbench.load(tmp_path / "rin")
    with pytest.raises(UserError, match="is not a results directory"):
        optbench.load(tmp_path)
    (tiny_copy / "plan.json").unlink()
    with pytest.raises(UserError, match="has no plan"):
        optbench.load(tiny_copy)
    (tiny_copy / "format.json").write_text('{"schema": 99}')
    with pytest.raises(UserError, match="has unknown schema version 99"):
        optbench.load(tiny_copy)


@pytest.mark.processes
def test_nothing_downstream_of_results_imports_torch(tiny_run: Results) -> None:
    code = (
        "import sys, optbench; results = optbench.load(sys.argv[1]);"
        "[len(getattr(results, n)) for n in ('runs', 'trials', 'curves', 'cells', 'trajectories')]; results.states();"
        "print(sorted({'torch', 'torchvision', 'optuna'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tiny_run.directory.folder)], capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stderr
