"""A dask scheduler and workers in processes of their own, each in a working directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: The working directory by a path that is another one in every process: to a worker, a disk that it doesn't see.
UNSEEN = Path("/proc/self/cwd")


@dataclass(frozen=True)
class Machine:
    """Where a process runs: the address at which it listens, and what to put before its command."""

    address: str = "127.0.0.1"
    prefix: Sequence[str] = ()


class Cluster:
    """Ends all of its processes when left; those of a test process that was killed end by themselves."""

    def __init__(self, folder: Path, machine: Machine = Machine(), **environment: str) -> None:
        self.folder, self._environment = folder, {**os.environ, **environment}
        self.workers: list[subprocess.Popen[bytes]] = []
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
        deadline = time.monotonic() + 60
        while not file.exists() or not file.read_text():
            assert time.monotonic() < deadline, "the scheduler doesn't start"
            time.sleep(0.05)
        self.address: str = json.loads(file.read_text())["address"]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def add_worker(self, *options: str, machine: Machine = Machine(), **environment: str) -> subprocess.Popen[bytes]:
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
            "60",
        )
        worker = self._start(machine, "worker", self.address, *shape, *options, **environment)
        self.workers.append(worker)
        return worker

    def alive(self) -> list[subprocess.Popen[bytes]]:
        """The workers whose processes have not ended."""
        return [worker for worker in self.workers if worker.poll() is None]

    def _start(self, machine: Machine, what: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        own = self.folder / f"{what}-{len(self.workers)}"
        own.mkdir()
        place = ("--host", machine.address, "--no-dashboard")
        with (own / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [*machine.prefix, sys.executable, "-m", "dask", what, *arguments, *place],
                cwd=own,
                env={**self._environment, **environment},
                stdout=subprocess.DEVNULL,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
