"""Engine dask, with a scheduler and workers in processes of their own: the same results, whoever dies or comes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import optbench
from optbench.api import configure
from optbench.environment import describe
from optbench.errors import UserError
from optbench.job import Job
from optbench.matrix import make_plan
from optbench.outputs import Outputs
from optbench.problem import DataSource
from optbench.progress import SilentProgress
from optbench.results.directory import ResultsDirectory
from optbench.run_options import RunOptions
from optbench.runner import run
from optbench.scale.cluster import connected, local
from optbench.scale.engine import DaskEngine
from optbench.scale.worker import Answer
from optbench.window import completed
from tests.support.cluster import UNSEEN, Cluster
from tests.support.same_results import assert_same_results
from tests.support.tiny import DEADLY, TINY, run_tiny

CHOICES: dict[str, Any] = {
    "problems": [TINY],
    "optimizers": ["sgd", "adam", "lbfgs"],
    "batch_sizes": [10],
    "seeds": 2,
    "run_budget": "1000examples",
    "evaluations": 3,
    "tuning_worth": 4,
    "devices": ["cpu"],
}


class Told(SilentProgress):
    """Remembers what a user would read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def deaths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """How often an optimizer may still kill its worker: one line each."""
    path = tmp_path_factory.mktemp("deaths") / "deaths.txt"
    path.touch()
    return path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, deaths: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), OPTBENCH_TEST_DEATHS=str(deaths)) as cluster:
        cluster.add_worker()
        cluster.add_worker()
        yield cluster


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial") / "run"
    run_tiny(folder, **CHOICES)
    return folder


def compute(folder: Path, scheduler: str | None, told: SilentProgress | None = None, **choices: Any) -> int:
    """Runs `CHOICES` by the engine dask; returns how many cells failed."""
    nothing = Outputs(folder / "tables", folder / "plots", folder / "report.html")
    options = RunOptions(DataSource(folder.parent), engine="dask", scheduler=scheduler, workers=2)
    with patch("optbench.runner.write_outputs", return_value=nothing):
        return run(configure(**{**CHOICES, **choices}), folder, options, told or Told()).failed


def test_workers_that_see_the_disk_write_the_results_of_a_serial_run(
    cluster: Cluster, serial: Path, tmp_path: Path
) -> None:
    assert compute(tmp_path / "run", cluster.address) == 0
    assert_same_results(tmp_path / "run", serial)
    assert not list((tmp_path / "run").glob(".seen-*"))


def test_records_travel_from_workers_that_do_not(
    cluster: Cluster, serial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = UNSEEN / "run"
    assert compute(folder, cluster.address, seeds=1) == 0  # and more seeds of cells that are begun
    assert compute(folder, cluster.address) == 0
    assert_same_results(tmp_path / "run", serial)
    names = {p.relative_to(tmp_path / "run").parts[-1] for p in (tmp_path / "run").glob("cells/*/*")}
    assert names >= {"cell.json", "timing.json", "trials.jsonl", "runs", "curves", "result.json"}
    left = [path for path in cluster.folder.glob("worker-*/**/*") if "optbench-" in path.name]
    assert [path.name for path in left if path.is_dir()] in ([], ["optbench-sources"], ["optbench-sources"] * 2)


class Watching(Told):
    """Remembers what lay in a cell's trials when its worker was lost."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.then = folder, b""

    def message(self, text: str) -> None:
        super().message(text)
        if "tried again" in text:
            self.then = b"".join(path.read_bytes() for path in self.folder.glob("cells/*/trials.jsonl"))


def test_a_cell_whose_worker_dies_goes_on_elsewhere(
    cluster: Cluster, deaths: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what has travelled until then: the trials before the one that killed its worker are not computed again."""
    choices = {"optimizers": [DEADLY], "tuning_round": 2}
    run_tiny(tmp_path / "serial", **{**CHOICES, **choices})
    monkeypatch.chdir(tmp_path)
    deaths.write_text("4")
    told, before = Watching(tmp_path / "run"), len(cluster.alive())
    failed = compute(UNSEEN / "run", cluster.address, told, **choices)
    assert failed == 0, [str(p.read_text()) for p in (tmp_path / "run").glob("cells/*/result.json")]
    assert len(cluster.alive()) == before - 1
    assert sum("is gone; tried again (1 of 2)" in line for line in told.lines) == 1
    assert len(told.then.splitlines()) >= 1
    assert next((tmp_path / "run").glob("cells/*/trials.jsonl")).read_bytes().startswith(told.then)
    assert_same_results(tmp_path / "run", tmp_path / "serial")


def test_one_worker_comes_and_one_is_killed_on_the_way(cluster: Cluster, serial: Path, tmp_path: Path) -> None:
    while len(cluster.alive()) > 1:
        cluster.alive()[0].kill()
        cluster.alive()[0].wait()
    (first,) = cluster.alive()
    told, folder = Told(), tmp_path / "run"
    failed: list[int] = []
    work = threading.Thread(target=lambda: failed.append(compute(folder, cluster.address, told)))
    work.start()
    wait_for(lambda: any(folder.glob("cells/*/timing.json")), work)
    cluster.add_worker()
    wait_for(lambda: len(list(folder.glob("cells/*/.lock"))) >= 2, work)  # two cells are under way, or were
    first.kill()
    work.join(60)
    assert failed == [0]
    assert_same_results(folder, serial)


def test_an_answer_that_dies_with_its_worker_is_computed_again(
    cluster: Cluster, serial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker holds what a cell gave until it is fetched, and may die just then: nobody else has it."""
    while len(cluster.alive()) < 2:
        cluster.add_worker()
    received, lost = DaskEngine._received, []

    def too_late(self: DaskEngine, call: Any) -> Any:
        if not lost:
            assert call.remote.status == "finished"
            lost.append(call.worker.address)
            with suppress(Exception):
                self._client.run(os._exit, 1, workers=lost)
            while lost[0] in self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"]:
                time.sleep(0.05)
        return received(self, call)

    monkeypatch.setattr(DaskEngine, "_received", too_late)
    told, failed = Told(), []
    work = threading.Thread(target=lambda: failed.append(compute(tmp_path / "run", cluster.address, told)), daemon=True)
    work.start()
    work.join(60)
    assert failed == [0], "it still waits for the answer"
    assert sum("is gone; tried again (1 of 2)" in line for line in told.lines) == 1
    assert_same_results(tmp_path / "run", serial)


def test_workers_of_its_own_are_started_again_and_a_deadly_cell_is_given_up(
    deaths: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three deaths; the cell beside it is none the worse."""
    monkeypatch.setenv("OPTBENCH_TEST_DEATHS", str(deaths))
    monkeypatch.setenv("OPTBENCH_TEST_SPARED", str(os.getpid()))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # which torch sets when it likes
    deaths.write_text("3\n1\n1")
    told, environment = Told(), dict(os.environ)
    assert compute(tmp_path / "run", None, told, optimizers=["sgd", DEADLY]) == 1
    assert [line[-8:] for line in told.lines if "tried again" in line] == ["(1 of 2)", "(2 of 2)"]
    assert deaths.read_text() == ""
    assert dict(os.environ) == environment
    results = optbench.load(tmp_path / "run")
    assert sorted(results.states().values()) == ["done", "failed"]
    failed = results.cells.query("status == 'error'")
    assert failed["optimizer"].tolist() == ["deadly"]
    assert failed["error"].tolist() == ["the worker process died (killed, or out of memory, 3 times)"]


def imagine_gpus() -> None:
    """Lets a worker believe in its GPU."""
    from optbench import environment

    environment._accelerator = lambda device: f"imagined {os.environ['CUDA_VISIBLE_DEVICES']}"  # type: ignore[assignment]


def shape(job: Job) -> tuple[str | None, int, str, bool]:
    """What a cell finds: its GPU, threads of torch and of others, whether freed memory is trimmed at once."""
    import torch

    found = os.environ
    trimmed = "MALLOC_TRIM_THRESHOLD_" in found
    time.sleep(0.3)  # so that all of them are needed
    return found.get("CUDA_VISIBLE_DEVICES"), torch.get_num_threads(), found["OMP_NUM_THREADS"], trimmed


def test_cells_on_gpus_have_one_each_and_threads_are_as_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the shell; a cell has what was planned
    choices = {**CHOICES, "devices": ["cuda", "cpu"], "threads": 2}
    cells = make_plan(configure(**choices), elsewhere=True).cells
    directory = ResultsDirectory(tmp_path)
    jobs = [Job(cell, (0,), directory, DataSource(tmp_path), "") for cell in cells]
    with local(2, 2, gpus=["3", "7"]) as client:
        engine = DaskEngine(client, directory, describe(), ours=True, prepare=imagine_gpus)
        found = [(job.cell.device, future.result()) for job, future in completed(engine, shape, jobs)]
        engine.shutdown()
    assert {device for device, _ in found} == {"cuda", "cpu"}
    assert {shape[0] for device, shape in found if device == "cuda"} == {"3", "7"}
    assert {shape[1:] for _, shape in found} == {(2, "2", False)}
    accelerators = [e["accelerators"] for e in directory.environments().values()]
    assert {"cuda": "imagined 3"} in accelerators


def test_the_answer_to_another_run_under_the_same_key_is_not_taken(
    cluster: Cluster, serial: Path, tmp_path: Path
) -> None:
    """As a coordinator leaves it that was killed: the key of the cell stands for what came of it first."""
    told, cells = Told(), make_plan(configure(**CHOICES)).cells
    with connected(cluster.address) as client:
        held = [client.submit(Answer, "other", "ok", (), key=f"{cell.id}-a0", pure=False) for cell in cells]
        assert all(answer.result().secret == "other" for answer in held)
        assert compute(tmp_path / "run", cluster.address, told) == 0
    assert sum("another run computed this cell" in line for line in told.lines) == len(cells)
    assert_same_results(tmp_path / "run", serial)


@pytest.mark.slow
def test_a_killed_coordinator_leaves_workers_that_serve_the_next_one(cluster: Cluster, tmp_path: Path) -> None:
    arguments = {**CHOICES, "optimizers": ["sgd"], "run_budget": "20000examples", "seeds": 1}
    script = "import optbench\nif __name__ == '__main__':\n"
    script += f"    optbench.run(engine='dask', scheduler={cluster.address!r}, name='orphan', outputs=False,\n"
    script += f"        results={str(tmp_path)!r}, execution='eager', **{arguments!r})\n"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "orphan" / "cells").glob("*/trials.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    again = {**arguments, "seeds": 2}
    assert compute(tmp_path / "orphan", cluster.address, **again) == 0
    run_tiny(tmp_path / "serial", **again)
    assert_same_results(tmp_path / "orphan", tmp_path / "serial")


def test_a_scheduler_that_does_not_answer_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optbench.scale.cluster.PATIENCE", 0.5)
    with pytest.raises(UserError, match=r"no dask scheduler answers at 'tcp://127\.0\.0\.1:9': "):
        compute(tmp_path / "run", "tcp://127.0.0.1:9")
    assert not (tmp_path / "run").exists()


def wait_for(condition: Callable[[], bool], work: threading.Thread, seconds: float = 60.0) -> None:
    """Waits until something is so while `work` goes on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert work.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_scheduler_that_goes_is_one_line_and_what_was_computed_is_kept(
    cluster: Cluster, serial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test here: no other one has a scheduler after it."""
    monkeypatch.setattr("optbench.scale.cluster.PATIENCE", 1.0)
    folder, raised = tmp_path / "run", []

    def work() -> None:
        try:
            compute(folder, cluster.address)
        except UserError as error:
            raised.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: any(folder.glob("cells/*/result.json")), thread)
    cluster.scheduler.kill()
    thread.join(90)
    assert len(raised) == 1
    assert raised[0].startswith("the dask scheduler is gone (")
    run_tiny(folder, **CHOICES)
    assert_same_results(folder, serial)
