"""Engines: the same calls with the same results, and deaths that stay where they happen."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from optbench.runner.engines import ProcessEngine, SerialEngine, begin_imports, default_workers, make_engine
from optbench.runner.last_words import describe_loss
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


def _double(x: int) -> int:
    return 2 * x


def _fail() -> None:
    raise ValueError("on purpose")


def _die() -> None:
    os._exit(7)


def _abort() -> None:
    os.write(2, b"a warning\n")
    sys.stderr.write("the last words")
    os.abort()


def _both(folder: Path, fn: Callable[[], Any]) -> Any:
    """`fn` once two calls are under way, so that neither worker makes both."""
    (folder / str(os.getpid())).touch()
    wait_until(lambda: len(list(folder.iterdir())) == 2, "the other worker makes a call")
    return fn()


def _state() -> tuple[int, int, bool, bool]:
    import torch

    handled = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    return os.getpid(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), handled


class FirstCalls(NamedTuple):
    """What an engine of two workers did when it was new: where it made its calls, and what processes it had then."""

    engine: ProcessEngine
    pids: set[int]
    children: set[int]


@pytest.fixture(scope="module")
def first_calls() -> Iterator[FirstCalls]:
    before = set(multiprocessing.active_children())  # other tests of this session may have left theirs
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")  # what they would have of themselves
        with make_engine("processes", 2, 1, partial(_prepare, "ready")) as engine:
            assert isinstance(engine, ProcessEngine)
            pids = {engine.submit(os.getpid).result() for _ in range(20)}
            children = {process.pid or 0 for process in set(multiprocessing.active_children()) - before}
            yield FirstCalls(engine, pids, children)


@pytest.fixture
def processes(first_calls: FirstCalls) -> ProcessEngine:
    """Two prepared workers, each of which takes seconds to start; a test leaves them free, and may end some."""
    return first_calls.engine


def _is_an_executor(engine: SerialEngine | ProcessEngine) -> None:
    assert [engine.submit(_double, n).result() for n in range(5)] == [0, 2, 4, 6, 8]
    assert list(engine.map(_double, range(6))) == [0, 2, 4, 6, 8, 10]
    with pytest.raises(ValueError, match="on purpose"):
        engine.submit(_fail).result()


def test_the_serial_engine_is_an_executor() -> None:
    with make_engine("serial", 2, 1) as engine:
        _is_an_executor(engine)


def test_worker_processes_are_an_executor(processes: ProcessEngine) -> None:
    _is_an_executor(processes)


def test_workers_are_fresh_single_threaded_deterministic_processes(processes: ProcessEngine, tmp_path: Path) -> None:
    calls = [processes.submit(_both, tmp_path, _state) for _ in range(2)]
    states = [call.result() for call in calls]
    assert len({pid for pid, *_ in states} | {os.getpid()}) == 3
    assert [settings for _, *settings in states] == [[1, True, True]] * 2


def test_a_dying_worker_breaks_its_own_call_alone(processes: ProcessEngine, tmp_path: Path) -> None:
    """The next call has a new one, which is prepared as the first one was."""
    dying, living = processes.submit(_die), processes.submit(_double, 4)
    wait([dying, living])
    assert living.result() == 8
    with pytest.raises(BrokenProcessPool) as error:
        dying.result()
    assert describe_loss(error.value) == "the worker process died (exit code 7)"
    with pytest.raises(BrokenProcessPool) as error:
        processes.submit(_abort).result()
    words = ": a warning | the last words" if Path("/proc/self/fd").exists() else ""
    assert describe_loss(error.value) == f"the worker process died (SIGABRT){words}"
    calls = [processes.submit(_both, tmp_path, _prepared) for _ in range(2)]
    assert [call.result() for call in calls] == ["ready"] * 2


def test_calls_one_after_another_share_a_worker(first_calls: FirstCalls) -> None:
    """The first one, which is warm; others are not even started."""
    assert len(first_calls.pids) == 1
    assert first_calls.children == first_calls.pids


def test_workers_have_the_environment_that_there_is_when_their_engine_is_made(
    first_calls: FirstCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of their original, which an engine before has started."""
    monkeypatch.setenv("OPTBENCH_TEST_LATER", "here")
    monkeypatch.delenv("HOME", raising=False)
    with ProcessEngine(1, 1) as engine:
        found = engine.submit(_environment).result()
    assert found["OPTBENCH_TEST_LATER"] == "here"
    assert "HOME" not in found


@pytest.mark.skipif(sys.platform != "linux", reason="only there are workers copies")
def test_workers_are_copies_of_a_process_with_one_thread_that_has_imported_torch(processes: ProcessEngine) -> None:
    """A copy of several threads may wait for ever for one that it lacks."""
    server, threads, torch = processes.submit(_describe_original).result()
    assert server != os.getpid()
    assert threads == 1
    assert torch


@pytest.mark.skipif(sys.platform != "linux", reason="only there are workers copies")
@pytest.mark.parametrize("path", [None, "0"])
def test_the_original_imports_nothing_from_the_working_directory(
    path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file `queue.py` there would be taken for the library's."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONSAFEPATH", path)
    found = []
    monkeypatch.setattr(
        "multiprocessing.forkserver.ensure_running", lambda: found.append(os.environ.get("PYTHONSAFEPATH"))
    )
    assert begin_imports().get_start_method() == "forkserver"
    assert (found, os.environ.get("PYTHONSAFEPATH")) == (["1"], path)


def test_workers_are_fresh_where_the_original_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of its socket must have less than 108 characters, those of the temporary folder among them."""

    def refuse() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", refuse)
    assert begin_imports().get_start_method() == "spawn"


def test_workers_ignore_ctrl_c_from_their_very_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """They inherit it from the process that starts them."""
    before, then = signal.getsignal(signal.SIGINT), []

    def submit(self: ProcessPoolExecutor, *arguments: Any) -> Future[None]:
        then.append(signal.getsignal(signal.SIGINT))
        done: Future[None] = Future()
        done.set_result(None)
        return done

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    with ProcessEngine(1, 1) as engine:
        engine.submit(_double, 1).result()
    assert then == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) == before


def _environment() -> dict[str, str]:
    return dict(os.environ)


def _describe_original() -> tuple[int, int, bool]:
    parent = os.getppid()
    return parent, len(list(Path(f"/proc/{parent}/task").iterdir())), "torch._dynamo" in sys.modules


def _prepare(text: str) -> None:
    os.environ["OPTBENCH_TEST_PREPARED"] = text


def _prepared() -> str | None:
    return os.environ.get("OPTBENCH_TEST_PREPARED")


def test_ctrl_c_reaches_the_caller_of_the_serial_engine() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialEngine(1).submit(interrupted)


def test_one_worker_a_core_unless_an_accelerator_is_shared() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert default_workers(1, ["cpu"]) == cores
    assert default_workers(2 * cores, ["cpu"]) == 1
    assert default_workers(1, ["cpu", "cuda"]) == 1
