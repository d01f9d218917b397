"""A dask scheduler and workers in processes of their own, each in a working directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path


class Cluster:
    """Ends all of its processes when left."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self._environment = folder, {**os.environ, **(environment or {})}
        self.workers: list[subprocess.Popen[bytes]] = []
        self._file = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file)
        )
        deadline = time.monotonic() + 30
        while not self._file.exists() or not self._file.read_text():
            assert time.monotonic() < deadline, "the scheduler doesn't start"
            time.sleep(0.05)
        self.address: str = json.loads(self._file.read_text())["address"]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def add_worker(self, *options: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a worker, without a nanny that would start it again."""
        shape = (
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--memory-limit",
            "0",
            "--local-directory",
            ".",
            "--host",
            "127.0.0.1",
        )
        worker = self._start("worker", self.address, *shape, *options, environment=environment)
        self.workers.append(worker)
        return worker

    def alive(self) -> list[subprocess.Popen[bytes]]:
        """The workers whose processes have not ended."""
        return [worker for worker in self.workers if worker.poll() is None]

    def _start(
        self, what: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        own = self.folder / f"{what}-{len(self.workers)}"
        own.mkdir()
        return subprocess.Popen(
            [sys.executable, "-m", "dask", what, *arguments],
            cwd=own,
            env={**self._environment, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=(own / "log.txt").open("wb"),
            stdin=subprocess.DEVNULL,
        )


#: The working directory by a path that is another one in every process: to a worker, a disk that it doesn't see.
UNSEEN = Path("/proc/self/cwd")
