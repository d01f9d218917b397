"""Connects to a running Dask scheduler, or starts a scheduler with workers on this machine."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import dask
import distributed

from optbench.errors import UserError, one_line
from optbench.machine.signals import ignore_interrupts

#: Seconds to wait for a scheduler's response.
PATIENCE = 10.0

#: Exit codes of worker processes of this process's clusters, by address.
_EXIT_CODES: dict[str, int] = {}

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def connect(scheduler: str) -> Iterator[distributed.Client]:
    """A context with a client of a running scheduler.

    Args:
        scheduler: The scheduler's address, or the file that `dask scheduler --scheduler-file FILE.json` has written.

    Raises:
        UserError: No scheduler responds.
    """
    where: dict[str, Any] = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    with _silence_logs():
        try:
            client = distributed.Client(**where, timeout=PATIENCE, set_as_default=False, name="optbench")
        except Exception as error:
            raise UserError(
                f"no Dask scheduler responds at {scheduler!r}: {one_line(error)} (accepted: the address that `dask "
                "scheduler` prints, such as tcp://192.168.0.1:8786, or its --scheduler-file)"
            ) from None
        try:
            yield client
        finally:
            with suppress(Exception):
                client.close(timeout=PATIENCE)


@contextmanager
def start_workers(workers: int, threads: int, gpus: Sequence[str] = ()) -> Iterator[distributed.Client]:
    """A context with a client of a new scheduler and worker processes on this machine.

    Args:
        workers: Number of worker processes; each computes one cell at a time.
        threads: CPU threads per worker.
        gpus: Numbers of GPUs, as in CUDA_VISIBLE_DEVICES. The first workers get one GPU each.

    Raises:
        UserError: The workers do not start.
    """
    settings = {
        "distributed.scheduler.work-stealing": False,
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.profile.enabled": False,
        # Replaces Dask's defaults, which include MALLOC_TRIM_THRESHOLD_ (see `worker._keep_memory`).
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(_THREADS, threads),
    }
    scheduler = {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": None}
    options: dict[str, Any] = {
        "nthreads": 1,
        "memory_limit": 0,
        "host": "127.0.0.1",
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
    }
    own = [
        {"env": {"CUDA_VISIBLE_DEVICES": gpus[n]}, "resources": {"GPU": 1}} if n < len(gpus) else {}
        for n in range(workers)
    ]
    with _silence_logs(), _restore_environment(), dask.config.set(settings):
        # Environment variables of this process take precedence over Dask's settings.
        os.environ.update(dict.fromkeys(_THREADS, str(threads)))
        try:
            with ignore_interrupts():
                cluster = distributed.SpecCluster(
                    scheduler={"cls": distributed.Scheduler, "options": scheduler},
                    workers={n: {"cls": _Nanny, "options": {**options, **own[n]}} for n in range(workers)},
                    silence_logs=logging.CRITICAL,
                )
        except Exception as error:
            raise UserError(
                f"the workers of engine 'dask' did not start ({one_line(error.__cause__ or error)}): killed, or out of "
                "memory; the same command resumes"
            ) from None
        try:
            with distributed.Client(cluster, set_as_default=False, name="optbench") as client:
                yield client
        except BaseException:
            _kill(cluster)
            raise
        finally:
            with suppress(Exception):
                cluster.close(timeout=PATIENCE)


class _Nanny(distributed.Nanny):
    """Remembers how its worker process has ended."""

    def _on_worker_exit_sync(self, exitcode: int) -> None:
        if self.worker_address is not None:
            _EXIT_CODES[self.worker_address] = exitcode
        super()._on_worker_exit_sync(exitcode)


def wait_for_exit(address: str) -> int | None:
    """Returns the exit code of a worker of `start_workers`, minus the signal's number if one has ended it.

    Args:
        address: The worker's address. The scheduler may notice the end of a worker before its nanny does.

    Returns:
        The exit code; None if the process has not ended after two seconds.
    """
    until = time.monotonic() + 2.0
    while address not in _EXIT_CODES and time.monotonic() < until:
        time.sleep(0.02)
    return _EXIT_CODES.pop(address, None)


def replenish(client: distributed.Client) -> None:
    """Replaces workers on this machine that have ended and were not restarted.

    Dask's nanny process restarts its worker only once: a worker that dies during its imports would not come back.

    Args:
        client: A client of `start_workers`.
    """
    cluster = client.cluster
    if isinstance(cluster, distributed.SpecCluster) and cluster.status is distributed.Status.running:
        for name, nanny in [*cluster.workers.items()]:
            if nanny.status in (distributed.Status.failed, distributed.Status.closed):
                cluster.workers.pop(name, None)
        if len(cluster.workers) < len(cluster.worker_spec):
            cluster.scale(len(cluster.worker_spec))


def visible_gpus() -> list[str]:
    """Returns the numbers of the CUDA devices that this process may use, as in CUDA_VISIBLE_DEVICES."""
    import torch

    visible = [number.strip() for number in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if number.strip()]
    return visible or [str(number) for number in range(torch.cuda.device_count())]


def _kill(cluster: distributed.SpecCluster) -> None:
    """Kills all workers, and prevents their restart."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


@contextmanager
def _silence_logs() -> Iterator[None]:
    """Suppresses Dask's log lines; optbench reports problems in its own messages."""
    loggers = {
        logging.getLogger(name): logging.getLogger(name).level for name in ("distributed", "tornado.application")
    }
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, before in loggers.items():
            logger.setLevel(before)


@contextmanager
def _restore_environment() -> Iterator[None]:
    """Restores the environment variables: a nanny sets its worker's variables in its own process, which is this one."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in {*os.environ} - {*before}:
            del os.environ[name]
        os.environ.update(before)
