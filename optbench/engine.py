"""Who computes cells: this process, or local worker processes. Both are `concurrent.futures.Executor`s."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from optbench.device import make_deterministic

P = ParamSpec("P")
T = TypeVar("T")

ENGINES = ("processes", "serial")


class SerialEngine(Executor):
    """Computes in this process, at once, in the order of submission."""

    def __init__(self, threads: int) -> None:
        make_deterministic(threads)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        # Ctrl-C must reach the caller and not become the result of a cell.
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class ProcessEngine(Executor):
    """Local worker processes, each in a slot of its own, so that a dying one fails only its own cell.

    `submit` waits until a worker is free. A worker that died is replaced by a new one at the next call;
    its future raises `concurrent.futures.process.BrokenProcessPool`.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self._threads, self._workers = threads, workers
        self._slots: list[ProcessPoolExecutor] = []
        self._free: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
        for _ in range(workers):
            self._free.put(self._slot())

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        slot = self._free.get()
        with _interrupts_ignored():
            try:
                future = slot.submit(fn, *args, **kwargs)
            except RuntimeError:  # the worker of this slot has died since
                slot = self._slot()
                future = slot.submit(fn, *args, **kwargs)
        future.add_done_callback(lambda _: self._free.put(slot))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for slot in [self._free.get() for _ in range(self._workers)]:
            slot.shutdown(wait=wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """Ends all workers at once, whatever they are doing."""
        for slot in self._slots:
            for process in list((slot._processes or {}).values()):
                process.kill()

    def _slot(self) -> ProcessPoolExecutor:
        # Fresh interpreters: a forked copy of a process that runs threads may hang.
        context = multiprocessing.get_context("spawn")
        settings = (self._threads, sys.path[:])
        slot = ProcessPoolExecutor(1, context, initializer=_start_worker, initargs=settings)
        self._slots.append(slot)
        return slot


def make_engine(name: str, workers: int, threads: int) -> SerialEngine | ProcessEngine:
    """The engine of this name; workers are started when they get their first cell."""
    return SerialEngine(threads) if name == "serial" else ProcessEngine(workers, threads)


def default_workers(threads: int, devices: Any) -> int:
    """One worker a core (of as many threads as a cell uses); one alone where an accelerator is shared."""
    if any(device != "cpu" for device in devices):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A process started meanwhile ignores Ctrl-C from its first moment, imports included."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_worker(threads: int, path: list[str]) -> None:
    # Ctrl-C reaches the whole process group; only the coordinator decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = path
    threading.Thread(target=_follow_parent, daemon=True).start()
    make_deterministic(threads)


def _follow_parent() -> None:
    """Ends this worker as soon as its coordinator is gone, however that died."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
