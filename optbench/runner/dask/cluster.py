"""A dask scheduler to talk to: one that runs already, or one with workers of this run's own on this machine."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import dask
import distributed

from optbench.errors import UserError, one_line
from optbench.machine.signals import interrupts_ignored

#: Seconds that a scheduler has to answer.
PATIENCE = 10.0

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def connected(scheduler: str) -> Iterator[distributed.Client]:
    """A client of a running scheduler: an address, or the file that `dask scheduler --scheduler-file` wrote.

    Raises UserError where none answers.
    """
    where: dict[str, Any] = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    with _quiet():
        try:
            client = distributed.Client(**where, timeout=PATIENCE, set_as_default=False, name="optbench")
        except Exception as error:
            raise UserError(
                f"no dask scheduler answers at {scheduler!r}: {one_line(error)} (accepted: the address that `dask "
                "scheduler` prints, such as tcp://192.168.0.1:8786, or its --scheduler-file)"
            ) from None
        try:
            yield client
        finally:
            with suppress(Exception):
                client.close(timeout=PATIENCE)


@contextmanager
def local(workers: int, threads: int, gpus: Sequence[str] = ()) -> Iterator[distributed.Client]:
    """A scheduler on the loopback with worker processes of one slot each; the first of them have a GPU each.

    `gpus` are the GPUs' numbers, as CUDA_VISIBLE_DEVICES has them. Raises UserError where the workers don't start.
    """
    settings = {
        "distributed.scheduler.work-stealing": False,
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.profile.enabled": False,
        # Threads as the cells have them; without MALLOC_TRIM_THRESHOLD_ (see `worker`).
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
    with _quiet(), _environment_kept(), dask.config.set(settings):
        # What this process has of them goes before dask's settings.
        os.environ.update(dict.fromkeys(_THREADS, str(threads)))
        try:
            with interrupts_ignored():
                cluster = distributed.SpecCluster(
                    scheduler={"cls": distributed.Scheduler, "options": scheduler},
                    workers={n: {"cls": distributed.Nanny, "options": {**options, **own[n]}} for n in range(workers)},
                    silence_logs=logging.CRITICAL,
                )
        except Exception as error:
            raise UserError(
                f"the workers of engine dask don't start ({one_line(error.__cause__ or error)}): killed, or out of "
                "memory? The same command resumes"
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


def replenish(client: distributed.Client) -> None:
    """Starts workers of this run's own in the place of those that could not be started again.

    A nanny starts its worker again, once: one that dies while it imports would be missed for good.
    """
    cluster = client.cluster
    if isinstance(cluster, distributed.SpecCluster) and cluster.status is distributed.Status.running:
        for name, nanny in [*cluster.workers.items()]:
            if nanny.status in (distributed.Status.failed, distributed.Status.closed):
                cluster.workers.pop(name, None)
        if len(cluster.workers) < len(cluster.worker_spec):
            cluster.scale(len(cluster.worker_spec))


def gpus_here() -> list[str]:
    """The numbers of the CUDA devices that this process may use."""
    import torch

    visible = [number.strip() for number in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if number.strip()]
    return visible or [str(number) for number in range(torch.cuda.device_count())]


def _kill(cluster: distributed.SpecCluster) -> None:
    """Ends the workers at once, whatever they are doing, and lets none be started in their place."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps dask's own log lines from the user's terminal: what matters of them is said in our words."""
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
def _environment_kept() -> Iterator[None]:
    """Undoes that a nanny sets its worker's environment in its own process, which is this one."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in {*os.environ} - {*before}:
            del os.environ[name]
        os.environ.update(before)
