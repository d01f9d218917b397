"""Who computes cells: this process, or local worker processes. Both are `concurrent.futures.Executor`s.

The third engine, the workers of a dask scheduler, is in `scale`.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from optbench.machine.device import cores, make_deterministic
from optbench.machine.signals import interrupts_ignored

if TYPE_CHECKING:
    from optbench.runner.job import Job

P = ParamSpec("P")
T = TypeVar("T")

ENGINES = ("dask", "processes", "serial")


class SerialEngine(Executor):
    """Computes in this process, at once, in the order of submission."""

    retries = 0

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

    def kill(self) -> None:
        """Nothing to end: calls are over when `submit` returns."""

    def has_room(self, job: Job, under_way: Collection[Job], alone: bool) -> bool:
        return not under_way

    def look_after(self) -> Sequence[str]:
        return ()

    def has_begun(self, future: Future[Any]) -> bool:
        return True

    def stop(self, future: Future[Any]) -> None:
        """A call can't be stopped in the process that makes it."""
        raise NotImplementedError


class ProcessEngine(Executor):
    """Local worker processes, each in a slot of its own, so that a dying one fails only its own cell.

    `submit` waits until a worker is free, and takes the first that is: calls made one after another
    all run in the same process, and no other is started. A worker that died is replaced by a new one at
    the next call; its future raises `concurrent.futures.process.BrokenProcessPool`.

    `prepare` is called in every worker before its first call, and has to be picklable.

    Workers are not pinned to cores: two single-thread workers on two cores were 3 % slower with it (median
    of 9 pairs, 0.91 to 1.02 times), and a pinned worker can't make way for anything else on its core.
    """

    retries = 0

    def __init__(self, workers: int, threads: int, prepare: Callable[[], None] | None = None) -> None:
        self._threads, self._prepare = threads, prepare
        # Fresh interpreters: a forked copy of a process that runs threads may hang.
        self._context = multiprocessing.get_context("spawn")
        #: Whether the worker of each slot has begun its call: it may have to start first.
        self._begun = [self._context.Value("b", False) for _ in range(workers)]
        self._pools = [self._pool(slot) for slot in range(workers)]
        self._free: queue.PriorityQueue[int] = queue.PriorityQueue()
        #: Where calls under way are.
        self._slots: dict[Future[Any], int] = {}
        for slot in range(workers):
            self._free.put(slot)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        slot = self._free.get()
        self._begun[slot].value = False
        try:
            with interrupts_ignored():
                try:
                    inner = self._pools[slot].submit(_begin, fn, *args, **kwargs)
                except RuntimeError:  # the worker of this slot has died since
                    self._pools[slot] = self._pool(slot)
                    inner = self._pools[slot].submit(_begin, fn, *args, **kwargs)
        except BaseException:
            self._free.put(slot)
            raise
        outer: Future[T] = Future()
        outer.set_running_or_notify_cancel()
        self._slots[outer] = slot

        def hand_over(_: Future[T]) -> None:
            self._slots.pop(outer, None)
            # The slot first: whoever waits for the result finds it free.
            self._free.put(slot)
            error = inner.exception()
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
        # Alone: one after another, all in the first worker, which is warm; no other is even started.
        return len(under_way) < (1 if alone else len(self._pools))

    def look_after(self) -> Sequence[str]:
        return ()

    def has_begun(self, future: Future[Any]) -> bool:
        """Whether a call that is under way is being made, and not waiting for its worker to start."""
        slot = self._slots.get(future)
        return slot is None or bool(self._begun[slot].value)

    def stop(self, future: Future[Any]) -> None:
        """Kills the worker of one call, whose future then raises BrokenProcessPool; others notice nothing."""
        if (slot := self._slots.get(future)) is not None:
            _kill(self._pools[slot])

    def kill(self) -> None:
        """Ends all workers at once, whatever they are doing."""
        for pool in self._pools:
            _kill(pool)

    def _pool(self, slot: int) -> ProcessPoolExecutor:
        settings = (self._threads, sys.path[:], self._prepare, self._begun[slot])
        return ProcessPoolExecutor(1, self._context, initializer=_start_worker, initargs=settings)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.kill()


def make_engine(
    name: str, workers: int, threads: int, prepare: Callable[[], None] | None = None
) -> SerialEngine | ProcessEngine:
    """The engine of this name; workers are started when they get their first call, `prepare` is theirs."""
    return SerialEngine(threads) if name == "serial" else ProcessEngine(workers, threads, prepare)


def default_workers(threads: int, devices: Any) -> int:
    """One worker a core (of as many threads as a cell uses); one alone where an accelerator is shared."""
    if any(device != "cpu" for device in devices):
        return 1
    return max(1, cores() // threads)


#: In a worker: where it notes that it has begun a call.
_begun: Any = None


def _begin(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    _begun.value = True
    return fn(*args, **kwargs)


def _start_worker(threads: int, path: list[str], prepare: Callable[[], None] | None, begun: Any) -> None:
    global _begun
    _begun = begun
    # Ctrl-C reaches the whole process group; only the coordinator decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = path
    threading.Thread(target=_follow_parent, daemon=True).start()
    make_deterministic(threads)
    if prepare is not None:
        prepare()


def _follow_parent() -> None:
    """Ends this worker as soon as its coordinator is gone, however that died."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
