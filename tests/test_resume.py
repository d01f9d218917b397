"""Nothing that was computed is lost: crashes at every write, and real processes killed at any moment.

Signals and faults at given moments are in `faults`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import optbench
from optbench.results import atomic
from optbench.runner.run import _Coordinator
from tests.support import forked
from tests.support.conduct import PROGRAM
from tests.support.recipes import RECIPES
from tests.support.same_results import assert_same_results
from tests.support.tiny import TINY
from tests.support.waiting import PATIENCE, wait_until

CHOICES = {
    "problems": [TINY],
    "optimizers": ["sgd[clip_norm=0.5,average_share=0.5]", "lbfgs"],
    "batch_sizes": [10],
    "seeds": 2,
    "run_budget": "300examples",
    "evaluations": 3,
    "tuning_worth": 3,
    "devices": ["cpu"],
}


class Crash(BaseException):
    """The machine stops here."""


def _run(folder: Path, **choices: object) -> None:
    """Runs `CHOICES` in this process, without tables, plots and report."""
    arguments = {"name": folder.name, "results": folder.parent, "engine": "serial", "outputs": False}
    optbench.run(**arguments, **{**CHOICES, **choices})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    _run(folder)
    return folder


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_write_loses_nothing(
    moment: str, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One results directory, crashed at every second or third write in turn until it is complete."""
    folder = tmp_path / "run"
    replace, crashes, countdown = os.replace, 0, 0

    def crashing(source: object, target: object) -> None:
        nonlocal countdown
        countdown -= 1
        if countdown == 0 and moment == "before":
            raise Crash
        replace(source, target)  # type: ignore[arg-type]
        if countdown == 0:
            raise Crash

    monkeypatch.setattr(atomic.os, "replace", crashing)
    for attempt in range(200):
        countdown = 3 + attempt % 2  # one of them is the plan, which every run writes
        try:
            _run(folder)
            break
        except Crash:
            crashes += 1
    else:
        pytest.fail("never completed")
    assert crashes > 10
    assert_same_results(folder, undisturbed)


def test_a_crash_within_a_trials_line_loses_that_trial_only(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    _run(folder)
    for trials in (folder / "cells").glob("*/trials.jsonl"):
        lines = trials.read_bytes().splitlines(keepends=True)
        trials.write_bytes(b"".join(lines[:1]) + lines[1][: len(lines[1]) // 2])
        (trials.parent / "result.json").unlink()
        for run in (trials.parent / "runs").iterdir():
            run.unlink()
    _run(folder)
    assert_same_results(folder, undisturbed)


def test_more_seeds_extend_what_is_there(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    _run(folder, seeds=1)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/trials.jsonl")}
    _run(folder, seeds=2)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/trials.jsonl")} == before
    assert_same_results(folder, undisturbed)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    script = tmp_path_factory.mktemp("program") / "run.py"
    script.write_text(PROGRAM.format(before=""))
    return [sys.executable, str(script)]


def _command(program: list[str], folder: Path, workers: int, *arguments: str) -> list[str]:
    where = ("--results", str(folder.parent), "--name", folder.name, "--workers", str(workers))
    return [*program, "run", *where, *arguments]


TINY_ARGUMENTS = (
    "--problem", TINY, "--optimizer", "sgd[clip_norm=0.5,average_decay=0.9]", "--optimizer", "lbfgs",
    "--batch-size", "10", "--batch-size", "50", "--seeds", "2", "--run-budget", "1000examples", "--tuning-worth", "3",
)  # fmt: skip


def _kill_and_resume(
    program: list[str], folder: Path, arguments: tuple[str, ...], workers: int, kills: int, longest: float
) -> int:
    """Kills the coordinator (odd times) or all processes (even times) at random moments, then lets it end.

    Returns how many of the kills hit a run that had not ended by itself.
    """
    rng = random.Random(workers)
    hit = 0
    for kill in range(kills):
        process = subprocess.Popen(
            _command(program, folder, workers, *arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(rng.uniform(0.5, longest))
        except subprocess.TimeoutExpired:
            hit += 1
        if kill % 2:
            process.kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(_command(program, folder, workers, *arguments), check=True, capture_output=True)
    return hit


@pytest.mark.skipif(os.name != "posix", reason="kills process groups")
@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("execution", ["eager", "population"])
def test_killed_runs_resume_to_the_same_frames(
    workers: int, execution: str, program: list[str], tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    recipes = [part for recipe in RECIPES for part in ("--optimizer", recipe)]
    arguments = (*TINY_ARGUMENTS, "--optimizer", "adam", *recipes, "--tuning-worth", "8", "--execution", execution)
    subprocess.run(_command(program, whole, 3 - workers, *arguments), check=True, capture_output=True)
    assert set(optbench.load(whole).trials["status"]) >= {"ok", "stopped"}
    hit = _kill_and_resume(program, killed, arguments, workers, kills=6, longest=9.0)
    assert hit >= 2
    assert_same_results(killed, whole)


@pytest.fixture(scope="module")
def whole_quick_run(program: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quick") / "whole"
    subprocess.run(_command(program, folder, 2), check=True, capture_output=True)
    return folder


@pytest.mark.skipif(os.name != "posix", reason="kills process groups")
@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_quick_run_resumes_to_the_same_frames(
    workers: int, program: list[str], whole_quick_run: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    hit = _kill_and_resume(program, killed, (), workers, kills=10, longest=60.0 / workers)
    assert hit == 10
    assert_same_results(killed, whole_quick_run)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
@pytest.mark.processes
def test_a_dead_worker_fails_its_cell_alone_and_two_workers_compute_what_one_process_does(
    program: list[str], tmp_path: Path
) -> None:
    """A worker killed from outside costs the cell that it held; `--retry-failed` computes that again."""
    folder = tmp_path / "run"
    process = forked.start(_command(program, folder, 2, *TINY_ARGUMENTS))

    def is_worker(process: psutil.Process) -> bool:
        """On Linux it is a child of the fork server, whose command line it has."""
        own, others = (" ".join(one.cmdline()) if one else "" for one in (process, process.parent()))
        return "spawn_main" in own or ("multiprocessing.forkserver" in own and "multiprocessing.forkserver" in others)

    def workers() -> list[psutil.Process]:
        started = psutil.Process(process.pid).children(recursive=True)
        return [worker for worker in started if is_worker(worker)]

    def has_begun() -> bool:
        return any(b"\n" in path.read_bytes() for path in folder.glob("cells/*/trials.jsonl"))

    wait_until(has_begun, "the first trial", lambda: process.poll() is None)
    workers()[0].kill()
    assert process.wait(PATIENCE) in (0, 1)  # 0 where the killed worker had no cell at that moment
    states = list(optbench.load(folder).states().values())
    assert states.count("failed") == process.returncode
    assert states.count("done") == 4 - process.returncode
    rows = optbench.load(folder).runs.query("status == 'error'")
    assert rows["error"].str.contains("worker process died").all()
    assert rows["test_metric"].isna().all()
    same: dict[str, Any] = {"batch_sizes": [10, 50], "run_budget": "1000examples", "evaluations": None}
    _run(folder, **same, retry_failed=True)
    _run(tmp_path / "whole", **same)
    assert_same_results(folder, tmp_path / "whole")


def test_two_runs_cannot_fill_one_directory(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    directory = optbench.results.directory.ResultsDirectory(folder)
    with directory.lock(), pytest.raises(optbench.UserError, match="another run is using"):
        _run(folder)


def test_a_complete_run_computes_nothing(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, missing: object) -> None:
        raise AssertionError(f"computed {missing}")

    monkeypatch.setattr(_Coordinator, "run", refuse)
    _run(undisturbed)
