"""The engines that compute cells in this process or in local worker processes, as `concurrent.futures.Executor`s.

The third engine, which uses the workers of a Dask scheduler, is `optbench.runner.dask.engine.DaskEngine`.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from optbench.machine.device import cores, make_deterministic
from optbench.machine.signals import ignore_interrupts
from optbench.runner.last_words import LostWorker, StderrTap, tapped

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext
    from multiprocessing.process import BaseProcess

    from optbench.runner.job import Job

P = ParamSpec("P")
T = TypeVar("T")

ENGINES = ("dask", "processes", "serial")

#: What is imported once for all workers. The last one is for an optbench that is only in the working directory.
_IMPORTED = ["optbench.runner.preloaded", "torch._dynamo"]


class SerialEngine(Executor):
    """Computes each job in this process, as soon as it is submitted."""

    retries = 0

    def __init__(self, threads: int) -> None:
        make_deterministic(threads)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        # Only `Exception`: Ctrl-C must reach the caller instead of becoming the result of a cell.
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def kill(self) -> None:
        """Does nothing: every call has ended when `submit` returns."""

    def has_room(self, job: Job, under_way: Collection[Job], alone: bool) -> bool:
        return not under_way

    def poll(self) -> Sequence[str]:
        return ()

    def has_begun(self, future: Future[Any]) -> bool:
        return True

    def stop(self, future: Future[Any]) -> None:
        """Not supported: a call can't be stopped in its own process."""
        raise NotImplementedError


class WorkerDied(LostWorker, BrokenProcessPool):
    """The worker process of a call has ended."""


class ProcessEngine(Executor):
    """Computes jobs in local worker processes. Each worker has its own slot, so a crash fails only one cell.

    `submit` waits until a worker is free and uses the first free slot: calls made one after another all run in the
    same process, and no other process is started. A worker that died is replaced at the next call; the future of its
    job raises `WorkerDied`, a `concurrent.futures.process.BrokenProcessPool`.

    On Linux, workers are copies of a process with one thread that has imported what they need (`begin_imports`). This
    process can't be copied, because it may have several threads. Elsewhere, workers are fresh interpreters.

    Workers are not pinned to cores. With pinning, two single-thread workers on two cores were 3 % slower (median of 9
    pairs, 0.91 to 1.02 times), and a pinned worker can't yield its core to other processes.

    Args:
        workers: Number of worker processes.
        threads: CPU threads per worker.
        prepare: Called in every worker before its first job; must be picklable.
    """

    retries = 0

    def __init__(self, workers: int, threads: int, prepare: Callable[[], None] | None = None) -> None:
        self._threads, self._prepare = threads, prepare
        self._context = begin_imports()
        self._imported = False
        #: Whether the worker of each slot has begun its call, or is still starting.
        self._begun = [self._context.Value("b", False) for _ in range(workers)]
        self._pools = [self._pool(slot) for slot in range(workers)]
        self._free: queue.PriorityQueue[int] = queue.PriorityQueue()
        #: The slot of each running call.
        self._slots: dict[Future[Any], int] = {}
        for slot in range(workers):
            self._free.put(slot)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._await_imports()
        slot = self._free.get()
        self._begun[slot].value = False
        tap = StderrTap()
        try:
            with ignore_interrupts():
                try:
                    inner = self._pools[slot].submit(_begin, tap.path, fn, *args, **kwargs)
                except RuntimeError:  # the worker of this slot has died since its last call
                    self._pools[slot] = self._pool(slot)
                    inner = self._pools[slot].submit(_begin, tap.path, fn, *args, **kwargs)
        except BaseException:
            tap.close()
            self._free.put(slot)
            raise
        workers = list((self._pools[slot]._processes or {}).values())
        outer: Future[T] = Future()
        outer.set_running_or_notify_cancel()
        self._slots[outer] = slot

        def hand_over(_: Future[T]) -> None:
            self._slots.pop(outer, None)
            words, error = tap.close(), inner.exception()
            if isinstance(error, BrokenProcessPool):
                error = WorkerDied(str(error), _wait_for_exit(workers), words)
            # Free the slot before setting the result, so that it can be used as soon as the result is known.
            self._free.put(slot)
            if error is None:
                outer.set_result(inner.result())
            else:
                outer.set_exception(error)

        inner.add_done_callback(hand_over)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for _ in self._pools:
            self._free.get()
        for pool in self._pools:
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def has_room(self, job: Job, under_way: Collection[Job], alone: bool) -> bool:
        # Jobs that run alone use one worker one after another, and no other worker is started.
        return len(under_way) < (1 if alone else len(self._pools))

    def poll(self) -> Sequence[str]:
        return ()

    def has_begun(self, future: Future[Any]) -> bool:
        """Whether the worker of a running call has started and begun the call."""
        slot = self._slots.get(future)
        return slot is None or bool(self._begun[slot].value)

    def stop(self, future: Future[Any]) -> None:
        """Kills the worker of one call, whose future then raises WorkerDied; other calls are not affected."""
        if (slot := self._slots.get(future)) is not None:
            _kill(self._pools[slot])

    def kill(self) -> None:
        """Kills all workers, including those that are computing."""
        for pool in self._pools:
            _kill(pool)

    def _await_imports(self) -> None:
        """Waits until workers can be started: Ctrl-C is ignored while one is, which must not take seconds."""
        if not self._imported and self._context.get_start_method() == "forkserver":
            process = self._context.Process(target=_do_nothing)
            process.start()
            process.join()
        self._imported = True

    def _pool(self, slot: int) -> ProcessPoolExecutor:
        settings = (self._threads, sys.path[:], dict(os.environ), self._prepare, self._begun[slot])
        return ProcessPoolExecutor(1, self._context, initializer=_start_worker, initargs=settings)


def begin_imports() -> ForkServerContext | SpawnContext:
    """Starts the process of which workers are copies, if it isn't running, and returns the context for workers.

    It imports while the caller goes on. It ends with this process. Where it can't be started, workers are fresh
    interpreters: its socket needs a temporary folder, with a short name.
    """
    if sys.platform == "linux":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_IMPORTED)
        try:
            with ignore_interrupts(), _without_working_directory():
                multiprocessing.forkserver.ensure_running()
        except OSError:
            pass
        else:
            return context
    return multiprocessing.get_context("spawn")


@contextmanager
def _without_working_directory() -> Iterator[None]:
    """A context in which new interpreters don't import from the working directory, whose files may have any name."""
    name = "PYTHONSAFEPATH"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _do_nothing() -> None:
    """Does nothing, in a worker."""


def _wait_for_exit(workers: Sequence[BaseProcess]) -> int | None:
    """Returns the exit code of the worker that has ended; None if none has."""
    for worker in workers:
        worker.join(timeout=1.0)
    return next((worker.exitcode for worker in workers if worker.exitcode is not None), None)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.kill()


def make_engine(
    name: str, workers: int, threads: int, prepare: Callable[[], None] | None = None
) -> SerialEngine | ProcessEngine:
    """Makes the engine `serial` or `processes`. Worker processes are started with their first job.

    Args:
        name: `serial` or `processes`.
        workers: Number of worker processes.
        threads: CPU threads per worker.
        prepare: Called in every worker process before its first job; must be picklable.
    """
    return SerialEngine(threads) if name == "serial" else ProcessEngine(workers, threads, prepare)


def default_workers(threads: int, devices: Any) -> int:
    """Returns the default number of workers: cores / threads per cell, or 1 if cells share an accelerator."""
    if any(device != "cpu" for device in devices):
        return 1
    return max(1, cores() // threads)


#: In a worker process: shared flag that tells the coordinator that a call has begun.
_begun: Any = None


def _begin(stderr: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    _begun.value = True
    with tapped(stderr):
        return fn(*args, **kwargs)


def _start_worker(
    threads: int, path: list[str], environment: dict[str, str], prepare: Callable[[], None] | None, begun: Any
) -> None:
    global _begun
    _begun = begun
    # A copy has the environment variables that the coordinator had when it started the original.
    os.environ.clear()
    os.environ.update(environment)
    # Ctrl-C is sent to the whole process group, but only the coordinator handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = path
    threading.Thread(target=_follow_parent, daemon=True).start()
    make_deterministic(threads)
    if prepare is not None:
        prepare()


def _follow_parent() -> None:
    """Ends this worker as soon as its coordinator has ended, for whatever reason."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
