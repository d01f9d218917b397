"""A dask scheduler and workers in processes of their own, and runs in the background that they compute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar
from unittest.mock import patch

from optbench.runner.dask.engine import DaskEngine
from optbench.runner.progress import SilentProgress
from tests.support import forked
from tests.support.waiting import PATIENCE, wait_until

T = TypeVar("T")
Process: TypeAlias = forked.Process | subprocess.Popen[bytes]

#: The working directory by a path that is another one in every process: to a worker, a disk that it doesn't see.
UNSEEN = Path("/proc/self/cwd")


class Told(SilentProgress):
    """Remembers what a user would read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


class _Abandoned(Exception):
    """The test that started this run is over."""


@contextmanager
def background() -> Iterator[Callable[[Callable[[], T]], Future[T]]]:
    """Starts runs by engine dask in threads, none of which is left when the block is.

    Patches are made and undone outside of these threads: two that undo theirs in another order leave one of them.
    """
    left, threads = threading.Event(), []
    poll = DaskEngine.poll

    def look(engine: DaskEngine) -> Sequence[str]:
        if left.is_set():
            raise _Abandoned
        return poll(engine)

    def start(work: Callable[[], T]) -> Future[T]:
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:
                outcome.set_exception(error)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return outcome

    with patch.object(DaskEngine, "poll", look):
        try:
            yield start
        finally:
            left.set()
            for thread in threads:
                thread.join(PATIENCE)


@dataclass(frozen=True)
class Machine:
    """Where a process runs: the address at which it listens, and what to put before its command."""

    address: str = "127.0.0.1"
    prefix: Sequence[str] = ()


class Cluster:
    """Ends all of its processes when left; those of a test process that was killed end by themselves."""

    def __init__(self, folder: Path, machine: Machine = Machine(), **environment: str) -> None:
        self.folder, self._environment = folder, {**os.environ, **environment}
        self.workers: list[Process] = []
        file = folder / "scheduler.json"
        self.scheduler = self._start(
            machine,
            "scheduler",
            "--port",
            "0",
            "--dashboard-address",
            ":0",
            "--scheduler-file",
            str(file),
            "--idle-timeout",
            "300 s",
        )
        wait_until(
            lambda: file.exists() and file.read_text(),
            "the scheduler starts",
            alive=lambda: self.scheduler.poll() is None,
        )
        self.address: str = json.loads(file.read_text())["address"]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def add_worker(self, *options: str, machine: Machine = Machine(), **environment: str) -> Process:
        """Starts a worker, without a nanny that would start it again."""
        shape = (
            "--nthreads",
            "1",
            "--no-nanny",
            "--memory-limit",
            "0",
            "--local-directory",
            ".",
            "--death-timeout",
            f"{PATIENCE:.0f}",
        )
        worker = self._start(machine, "worker", self.address, *shape, *options, **environment)
        self.workers.append(worker)
        return worker

    def alive(self) -> list[Process]:
        """The workers whose processes have not ended."""
        return [worker for worker in self.workers if worker.poll() is None]

    def _start(self, machine: Machine, what: str, *arguments: str, **environment: str) -> Process:
        own = self.folder / f"{what}-{len(self.workers)}"
        own.mkdir()
        command = [sys.executable, "-m", "dask", what, *arguments, "--host", machine.address, "--no-dashboard"]
        environment = {**self._environment, **environment}
        if sys.platform == "linux" and not machine.prefix:
            return forked.start(command, cwd=own, env=environment)
        with (own / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [*machine.prefix, *command],
                cwd=own,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
