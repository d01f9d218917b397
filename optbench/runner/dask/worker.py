"""What runs on a dask worker: it says what it is, and computes one cell at a time."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from distributed import Worker, get_worker

from optbench.machine.device import make_deterministic
from optbench.machine.environment import describe
from optbench.problem.data import default_data_dir
from optbench.results.atomic import ResultsUnwritable
from optbench.results.directory import ResultsDirectory
from optbench.runner.dask.records import SendingDirectory, write
from optbench.runner.dask.sources import check_same, placed
from optbench.runner.job import Job

#: Torch's settings and its random numbers are those of a process, whatever the threads of the worker.
_ALONE = threading.Lock()

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Greeting:
    """What a worker is told when it is first seen."""

    #: A file in the results directory, and what it holds, by which a worker finds out whether it sees the disk.
    probe: Path
    secret: str
    #: Whether the worker was started by this run, on this machine.
    ours: bool
    #: Finds the data that the coordinator shares with workers on its machine.
    prepare: Callable[[], None] | None


@dataclass(frozen=True)
class Introduction:
    """What a worker says of itself."""

    machine: str
    environment: dict[str, Any]
    sees_disk: bool


@dataclass(frozen=True)
class Parcel:
    """A job for a worker."""

    job: Job
    #: Of a worker that doesn't see the disk: what is known of the cell.
    records: tuple[str, ...]
    sees_disk: bool
    sources: dict[str, bytes]
    #: Whose job it is, and where records are announced.
    secret: str
    topic: str


@dataclass(frozen=True)
class Answer:
    """What came of a job: its value, and all of its records where they have to travel."""

    secret: str
    value: Any
    records: tuple[str, ...]


class WorkerUnfit(Exception):
    """A worker can't compute anything, as its own disk doesn't take records."""


class Abandoned(BaseException):
    """Nobody waits for this job any more. No result of the cell, and so no `Exception`."""


def introduce(greeting: Greeting, devices: tuple[str, ...]) -> Introduction:
    """What this worker is. Also settles what dask sets for its worker processes and trainings don't bear."""
    worker = get_worker()
    if greeting.ours:
        # Ctrl-C reaches the whole process group; only the coordinator decides what it means.
        worker.loop.add_callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
    _keep_memory()
    if greeting.prepare is not None:
        greeting.prepare()
    sees_disk = False
    with suppress(OSError):
        sees_disk = greeting.probe.read_text("ascii") == greeting.secret
    import torch  # noqa: F401  (so that the first cell doesn't wait for it)

    return Introduction(_machine(), describe(devices), sees_disk)


def compute(fn: Callable[[Job], Any], parcel: Parcel) -> Answer:
    """Computes a job as the only one of this process, and sends its records as they are made."""
    worker, key = get_worker(), get_worker().get_current_task()
    cell = parcel.job.cell
    records: list[str] = []

    def send(record: str) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise Abandoned
        if not parcel.sees_disk:
            records.append(record)
            # The result waits until all others have been written.
            if not record.startswith('["result"'):
                worker.log_event(parcel.topic, {"key": key, "record": record})

    with _ALONE, _undisturbed(worker), TemporaryDirectory(dir=worker.local_directory, prefix="optbench-") as scratch:
        make_deterministic(cell.threads)
        # Modules that were imported from there stay, and so do their files.
        here = placed(cell, parcel.sources, Path(worker.local_directory) / "optbench-sources")
        check_same(here)
        folder = parcel.job.directory.folder if parcel.sees_disk else Path(scratch)
        directory = SendingDirectory(folder, send)
        source = parcel.job.source
        if not source.directory.is_dir():
            source = replace(source, directory=default_data_dir())
        try:
            if not parcel.sees_disk:
                store = ResultsDirectory(folder).cell(cell.id)
                for record in parcel.records:
                    write(store, record)
            value = fn(replace(parcel.job, cell=here, directory=directory, source=source))
        except ResultsUnwritable as error:
            if parcel.sees_disk:
                raise
            raise WorkerUnfit(f"its disk takes no records: {error.strerror} ({error.filename})") from None
    return Answer(parcel.secret, value, tuple(records))


@contextmanager
def _undisturbed(worker: Worker) -> Iterator[None]:
    """Stops the worker's profiler, which looks at the computing thread a hundred times a second."""
    profilers = [worker.periodic_callbacks[n] for n in ("profile", "profile-cycle") if n in worker.periodic_callbacks]
    for callback in profilers:
        worker.loop.add_callback(callback.stop)
    try:
        yield
    finally:
        for callback in profilers:
            worker.loop.add_callback(callback.start)


def _keep_memory() -> None:
    """Lets the C library keep freed memory, as it does by itself.

    Dask's nanny sets MALLOC_TRIM_THRESHOLD_, and so switches off that the library adapts: then every large tensor is
    mapped anew in each step. These are the values that it adapts to.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ and platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        library.mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


def _machine() -> str:
    """What tells machines apart: containers and network namespaces on one have names of their own, but one kernel."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return platform.node()
