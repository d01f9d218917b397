"""Engines: the same calls with the same results, and deaths that stay where they happen."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from optbench.engine import ProcessEngine, SerialEngine, default_workers, make_engine


def _double(x: int) -> int:
    return 2 * x


def _fail() -> None:
    raise ValueError("on purpose")


def _die() -> None:
    os._exit(7)


def _both(folder: Path, fn: Callable[[], Any]) -> Any:
    """`fn` once two calls are under way, so that neither worker makes both."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return fn()


def _state() -> tuple[int, int, bool, bool]:
    import torch

    handled = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    return os.getpid(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), handled


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessEngine]:
    """Two prepared workers, each of which takes seconds to start; a test leaves them free, and may end some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")  # what they would have of themselves
        with make_engine("processes", 2, 1, partial(_prepare, "ready")) as engine:
            assert isinstance(engine, ProcessEngine)
            yield engine


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
    with pytest.raises(BrokenProcessPool):
        dying.result()
    calls = [processes.submit(_both, tmp_path, _prepared) for _ in range(2)]
    assert [call.result() for call in calls] == ["ready"] * 2


def test_calls_one_after_another_share_a_worker() -> None:
    """The first one, which is warm; others are not even started."""
    before = set(multiprocessing.active_children())  # other tests of this session may have left theirs
    with ProcessEngine(3, 1) as engine:
        pids = {engine.submit(os.getpid).result() for _ in range(20)}
        assert {p.pid for p in set(multiprocessing.active_children()) - before} == pids
        assert len(pids) == 1


def _prepare(text: str) -> None:
    os.environ["OPTBENCH_TEST_PREPARED"] = text


def _prepared() -> str | None:
    return os.environ.get("OPTBENCH_TEST_PREPARED")


def test_ctrl_c_reaches_the_caller_of_the_serial_engine() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialEngine(1).submit(interrupted)


ORPHAN = """
import os, sys, time
from optbench.engine import ProcessEngine
from tests.test_engine import _sleep
if __name__ == "__main__":
    engine = ProcessEngine(1, 1)
    engine.submit(os.getpid).result()
    print(engine.submit(os.getpid).result(), flush=True)
    engine.submit(_sleep, 60)
    time.sleep(60)
"""


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def test_workers_end_with_their_coordinator() -> None:
    coordinator = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True)
    assert coordinator.stdout is not None
    worker = int(coordinator.stdout.readline())
    coordinator.kill()
    coordinator.wait()
    coordinator.stdout.close()
    deadline = time.monotonic() + 10
    while _alive(worker):
        assert time.monotonic() < deadline, "the worker outlived its coordinator"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie waiting to be collected by init is not alive.
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(status.strip()) and not status.startswith("Z")


def test_one_worker_a_core_unless_an_accelerator_is_shared() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert default_workers(1, ["cpu"]) == cores
    assert default_workers(2 * cores, ["cpu"]) == 1
    assert default_workers(1, ["cpu", "cuda"]) == 1
