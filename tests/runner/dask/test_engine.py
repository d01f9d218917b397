"""Engine dask, with a scheduler and workers in processes of their own: the same results, whoever dies or comes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import dask
import pytest

import optbench
from optbench.config.load import configure
from optbench.errors import UserError
from optbench.machine.environment import describe_environment
from optbench.planning.matrix import make_plan
from optbench.problem.data import DataSource
from optbench.results.directory import ResultsDirectory
from optbench.runner.dask.cluster import connect, start_workers
from optbench.runner.dask.engine import DaskEngine
from optbench.runner.dask.worker import Answer
from optbench.runner.job import Job
from optbench.runner.progress import SilentProgress
from optbench.runner.window import run_jobs
from tests.support.cluster import UNSEEN, Cluster, Told, background
from tests.support.same_results import assert_same_results
from tests.support.tiny import DEADLY, TINY, run_tiny
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.processes

CHOICES: dict[str, Any] = {
    "problems": [TINY],
    "optimizers": ["sgd", "adam", "lbfgs"],
    "batch_sizes": [10],
    "seeds": 2,
    "run_budget": "300examples",
    "evaluations": 3,
    "tuning_worth": 4,
    "devices": ["cpu"],
}


Start: TypeAlias = Callable[[Callable[[], int]], Future[int]]


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


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a run in a thread, which has ended before any patch of a test is undone."""
    with background() as start:
        yield start


def compute(
    folder: Path, scheduler: str | None, told: SilentProgress | None = None, *, workers: int = 2, **choices: Any
) -> int:
    """Runs `CHOICES` by the engine dask, without tables, plots and report; returns how many cells failed."""
    done = optbench.run(
        name=folder.name, results=folder.parent, engine="dask", scheduler=scheduler, workers=workers, outputs=False,
        progress=told or Told(), **{**CHOICES, **choices},
    )  # fmt: skip
    return list(done.states().values()).count("failed")


def tried_again(told: Told) -> dict[str, int]:
    """By the name of each cell that was tried again: how often."""
    names = [line.partition(": worker")[0] for line in told.lines if "is gone; trying again" in line]
    return {name: names.count(name) for name in names}


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
        if "trying again" in text:
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
    assert sum("is gone; trying again (1 of 2)" in line for line in told.lines) == 1  # there is one cell alone
    assert len(told.then.splitlines()) >= 1
    assert next((tmp_path / "run").glob("cells/*/trials.jsonl")).read_bytes().startswith(told.then)
    assert_same_results(tmp_path / "run", tmp_path / "serial")


#: Plain gradient descent that goes on beyond the default rate, and so to the second trial, only when a file is gone.
PATIENT = """
import time
from pathlib import Path
import torch

class Slow(torch.optim.SGD):
    def step(self, closure=None):  # the cell whose steps take longest is computed first
        time.sleep(0.003)
        return super().step(closure)

def patient(params, lr=0.1):
    while lr != 0.1 and Path({hold!r}).exists():
        time.sleep(0.01)
    return Slow(params, lr=lr)
"""


def test_one_worker_comes_and_one_is_killed_on_the_way(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """The one that comes takes the cells that wait, and then the one under way that the other one leaves behind."""
    monkeypatch.chdir(tmp_path)
    hold, told, folder = tmp_path / "hold", Told(), tmp_path / "run"
    Path("patient.py").write_text(PATIENT.format(hold=str(hold)))
    choices = {"optimizers": ["patient.py:patient", "sgd", "adam"]}
    run_tiny(tmp_path / "serial", **{**CHOICES, **choices})
    while len(cluster.alive()) > 1:
        cluster.alive()[0].kill()
        cluster.alive()[0].wait()
    (first,) = cluster.alive() or [cluster.add_worker()]
    hold.touch()
    work = start(lambda: compute(folder, cluster.address, told, **choices))

    def finished() -> int:
        return len(list(folder.glob("cells/*/result.json")))

    def begun() -> list[bytes]:
        return [path.read_bytes() for path in folder.glob("cells/*/trials.jsonl") if b"\n" in path.read_bytes()]

    wait_until(begun, "the first cell has a trial", alive=lambda: not work.done())
    cluster.add_worker()
    wait_until(lambda: finished() == 2, "the other cells are computed", alive=lambda: not work.done())
    (waiting,) = (path for path in folder.glob("cells/*/trials.jsonl") if not (path.parent / "result.json").exists())
    before = waiting.read_bytes()
    first.kill()
    wait_until(lambda: tried_again(told), "the cell is given to the other worker", alive=lambda: not work.done())
    hold.unlink()
    assert work.result(PATIENCE) == 0
    assert list(tried_again(told).values()) == [1]
    assert waiting.read_bytes().startswith(before)
    assert_same_results(folder, tmp_path / "serial")


def test_an_answer_that_dies_with_its_worker_is_computed_again(
    cluster: Cluster, serial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """A worker holds what a cell gave until it is fetched, and may die just then: nobody else has it.

    The worker counts as free before its answer is fetched, so that a second cell may be lost with it.
    """
    while len(cluster.alive()) < 2:
        cluster.add_worker()
    received, lost, names = DaskEngine._receive, [], []

    def too_late(self: DaskEngine, call: Any) -> Any:
        if not lost and call.job.directory.cell(call.job.cell.id).timing() is not None:
            assert call.remote.status == "finished"
            names.append(call.job.name)
            lost.append(call.worker.address)
            with suppress(Exception):
                self._client.run(os._exit, 1, workers=lost)
            there = self._client.scheduler.identity
            wait_until(lambda: lost[0] not in self._client.sync(there, n_workers=-1)["workers"], "the worker is missed")
        return received(self, call)

    monkeypatch.setattr(DaskEngine, "_receive", too_late)
    told = Told()
    work = start(lambda: compute(tmp_path / "run", cluster.address, told))
    assert work.result(PATIENCE) == 0
    again = tried_again(told)
    assert set(names) <= set(again)
    assert len(again) <= 2
    assert max(again.values()) <= DaskEngine.retries
    assert_same_results(tmp_path / "run", serial)


def test_workers_of_its_own_are_started_again_and_a_deadly_cell_is_given_up(
    deaths: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has killed the worker of its last attempt; the cell after it is none the worse.

    One worker and one further attempt; its processes are copies of one that has imported torch, which takes seconds.
    """
    monkeypatch.setattr(DaskEngine, "retries", 1)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # which torch sets when it likes
    deaths.write_text("1\n1")
    told, environment = Told(), dict(os.environ)
    monkeypatch.setattr("distributed.utils._forkserver_preload_set", True)  # or dask would preload something else
    multiprocessing.set_forkserver_preload(["torch._dynamo", "optbench.runner.cell", "optbench.runner.dask.worker"])
    variables = {"OPTBENCH_TEST_DEATHS": str(deaths), "OPTBENCH_TEST_SPARED": str(os.getpid())}
    copies = {"distributed.worker.multiprocessing-method": "forkserver", "distributed.nanny.environ": variables}
    with dask.config.set(copies):
        assert compute(tmp_path / "run", None, told, optimizers=[DEADLY, "sgd"], workers=1) == 1
    assert [line[-8:] for line in told.lines if "trying again" in line] == ["(1 of 1)"]
    assert deaths.read_text() == ""
    assert dict(os.environ) == environment
    results = optbench.load(tmp_path / "run")
    assert sorted(results.states().values()) == ["done", "failed"]
    failed = results.cells.query("status == 'error'")
    assert failed["optimizer"].tolist() == ["deadly"]
    assert failed["error"].tolist() == ["the worker process died (SIGKILL: killed, or out of memory, 2 times)"]


def imagine_gpus() -> None:
    """Lets a worker believe in its GPU."""
    from optbench.machine import environment

    environment._accelerator = lambda device: f"imagined {os.environ['CUDA_VISIBLE_DEVICES']}"  # type: ignore[assignment]


def shape(job: Job) -> tuple[str | None, int, str, bool]:
    """What a cell finds: its GPU, threads of torch and of others, whether freed memory is trimmed at once.

    Cells on GPUs wait until both GPUs have one.
    """
    import torch

    found = os.environ
    trimmed = "MALLOC_TRIM_THRESHOLD_" in found
    if job.cell.device == "cuda":
        here = job.directory.folder
        (here / f"gpu-{found['CUDA_VISIBLE_DEVICES']}").touch()
        wait_until(lambda: len(list(here.glob("gpu-*"))) == 2, "a cell is on the other GPU")
    return found.get("CUDA_VISIBLE_DEVICES"), torch.get_num_threads(), found["OMP_NUM_THREADS"], trimmed


@pytest.mark.slow
def test_cells_on_gpus_have_one_each_and_threads_are_as_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the shell; a cell has what was planned
    choices = {**CHOICES, "devices": ["cuda", "cpu"], "threads": 2}
    cells = make_plan(configure(**choices), elsewhere=True).cells
    directory = ResultsDirectory(tmp_path)
    jobs = [Job(cell, (0,), directory, DataSource(tmp_path), "") for cell in cells]
    with start_workers(2, 2, gpus=["3", "7"]) as client:
        engine = DaskEngine(client, directory, describe_environment(), ours=True, prepare=imagine_gpus)
        found = [(job.cell.device, future.result()) for job, future in run_jobs(engine, shape, jobs)]
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
    with connect(cluster.address) as client:
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
    wait_until(
        lambda: list((tmp_path / "orphan" / "cells").glob("*/trials.jsonl")),
        "a trial is done",
        alive=lambda: process.poll() is None,
    )
    process.kill()
    process.wait()
    again = {**arguments, "seeds": 2}
    assert compute(tmp_path / "orphan", cluster.address, **again) == 0
    run_tiny(tmp_path / "serial", **again)
    assert_same_results(tmp_path / "orphan", tmp_path / "serial")


def test_a_scheduler_that_does_not_answer_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optbench.runner.dask.cluster.PATIENCE", 0.5)
    with pytest.raises(UserError, match=r"no Dask scheduler responds at 'tcp://127\.0\.0\.1:9': "):
        compute(tmp_path / "run", "tcp://127.0.0.1:9")
    assert not (tmp_path / "run").exists()


def test_a_scheduler_that_goes_is_one_line_and_what_was_computed_is_kept(
    cluster: Cluster, serial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """The last test here: no other one has a scheduler after it."""
    monkeypatch.setattr("optbench.runner.dask.cluster.PATIENCE", 1.0)
    folder, received = tmp_path / "run", DaskEngine._receive

    def and_goes(self: DaskEngine, call: Any) -> Any:
        try:
            return received(self, call)
        finally:
            if any(folder.glob("cells/*/result.json")):
                cluster.scheduler.kill()

    monkeypatch.setattr(DaskEngine, "_receive", and_goes)
    work = start(lambda: compute(folder, cluster.address))
    with pytest.raises(UserError, match=r"^the Dask scheduler does not respond \("):
        work.result(PATIENCE)
    assert any(folder.glob("cells/*/result.json"))
    run_tiny(folder, **CHOICES)
    assert_same_results(folder, serial)
