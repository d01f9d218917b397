"""The functions that run on a Dask worker: its introduction and the computation of one cell at a time."""

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
from optbench.machine.environment import describe_environment
from optbench.problem.data import default_data_dir
from optbench.results.atomic import ResultsWriteError
from optbench.results.directory import ResultsDirectory
from optbench.runner.dask.records import SendingDirectory, write_record
from optbench.runner.dask.sources import Files, check_same, place_sources
from optbench.runner.job import Job
from optbench.runner.last_words import tapped

#: One cell at a time per process: torch's settings and random generators are shared by all threads.
_ALONE = threading.Lock()

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Greeting:
    """Sent to a worker when it is first seen."""

    #: A file in the results directory, and its content; a worker that can read it has access to the directory.
    probe: Path
    secret: str
    #: Whether the worker was started by this run, on this machine.
    ours: bool
    #: Makes the data available that the coordinator shares with workers on its machine.
    prepare: Callable[[], None] | None


@dataclass(frozen=True)
class Introduction:
    """A worker's description of itself."""

    #: Identifier of the machine.
    machine: str
    #: Description of the environment.
    environment: dict[str, Any]
    #: Whether it can access the results directory.
    sees_disk: bool


@dataclass(frozen=True)
class Parcel:
    """A job for a worker, with everything that it needs."""

    job: Job
    #: The stored records of the cell; empty if the worker can access the results directory.
    records: tuple[str, ...]
    sees_disk: bool
    #: Contents of user files by folder.
    sources: Files
    #: Identifies the run that has submitted the job.
    secret: str
    #: Topic under which records are sent.
    topic: str


@dataclass(frozen=True)
class Answer:
    """The result of a job: its value, and its records unless the worker has written them itself."""

    secret: str
    value: Any
    records: tuple[str, ...]


class WorkerUnfit(Exception):
    """A worker can't compute any cell, because it can't write records to its own disk."""


class Abandoned(BaseException):
    """The job was cancelled. Not an `Exception`, which would become a result of the cell."""


def introduce(greeting: Greeting, devices: tuple[str, ...]) -> Introduction:
    """Returns a description of this worker, and adapts the worker process to trainings.

    Args:
        greeting: The coordinator's greeting.
        devices: Devices to describe in addition to the CPU.
    """
    worker = get_worker()
    if greeting.ours:
        # Ctrl-C is sent to the whole process group, but only the coordinator handles it.
        worker.loop.add_callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
    _keep_memory()
    if greeting.prepare is not None:
        greeting.prepare()
    sees_disk = False
    with suppress(OSError):
        sees_disk = greeting.probe.read_text("ascii") == greeting.secret
    import torch  # noqa: F401  (imported early, so that the first cell need not wait)

    return Introduction(_machine(), describe_environment(devices), sees_disk)


def compute(fn: Callable[[Job], Any], parcel: Parcel, stderr: str = "") -> Answer:
    """Computes a job and sends its records as they are written; other jobs of this process wait.

    Args:
        fn: The function to compute, such as `optbench.runner.cell.execute`.
        parcel: The job with everything that it needs.
        stderr: The path of the coordinator's tap of this job's stderr; empty on other machines.

    Raises:
        Abandoned: The job was cancelled.
        WorkerUnfit: Records can't be written to the worker's own disk.
    """
    worker, key = get_worker(), get_worker().get_current_task()
    cell = parcel.job.cell
    records: list[str] = []

    def send(record: str) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise Abandoned
        if not parcel.sees_disk:
            records.append(record)
            # The result is sent last, with the answer: it marks the cell as done.
            if not record.startswith('["result"'):
                worker.log_event(parcel.topic, {"key": key, "record": record})

    with _ALONE, _pause_profiler(worker), TemporaryDirectory(dir=worker.local_directory, prefix="optbench-") as scratch:
        make_deterministic(cell.threads)
        # Not in `scratch`: modules stay imported, so their files have to stay as well.
        here = place_sources(cell, parcel.sources, Path(worker.local_directory) / "optbench-sources")
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
                    write_record(store, record)
            with tapped(stderr):
                value = fn(replace(parcel.job, cell=here, directory=directory, source=source))
        except ResultsWriteError as error:
            if parcel.sees_disk:
                raise
            raise WorkerUnfit(f"its disk can't be written: {error.strerror} ({error.filename})") from None
    return Answer(parcel.secret, value, tuple(records))


@contextmanager
def _pause_profiler(worker: Worker) -> Iterator[None]:
    """Stops the worker's profiler, which interrupts the computing thread a hundred times per second."""
    profilers = [worker.periodic_callbacks[n] for n in ("profile", "profile-cycle") if n in worker.periodic_callbacks]
    for callback in profilers:
        worker.loop.add_callback(callback.stop)
    try:
        yield
    finally:
        for callback in profilers:
            worker.loop.add_callback(callback.start)


def _keep_memory() -> None:
    """Lets the C library keep freed memory, as it does by default.

    Dask's nanny sets MALLOC_TRIM_THRESHOLD_, which switches off the library's dynamic thresholds: every large tensor
    would then be mapped again in each step. The values set here are those to which the library would adapt.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ and platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        library.mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


def _machine() -> str:
    """Returns an identifier of the machine: the boot id, which containers on one machine share, or the host name."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return platform.node()
