"""The sliding window: as many jobs under way as an engine has room for, and others only when one of them is done.

With everything queued at once, a worker that dies would take innocent cells with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from optbench.runner.job import Job

T = TypeVar("T")

#: How often the engine and the jobs under way are looked after, in seconds.
POLL_SECONDS = 0.5
#: What a worker may take to start where jobs have a time limit, if that is shorter.
START_SECONDS = 120.0


class TimeLimit(Exception):
    """A job took longer than it may, and was stopped."""


class Engine(Protocol):
    """What computes jobs. The future of a call whose worker was lost raises a `BrokenExecutor`."""

    @property
    def retries(self) -> int:
        """How often a job is tried again whose worker was lost."""
        ...

    def submit(self, fn: Callable[[Job], T], job: Job, /) -> Future[T]:
        """Starts a job for which there is room."""
        ...

    def has_room(self, job: Job, under_way: Collection[Job], alone: bool) -> bool:
        """Whether the job could start now; `alone` means: on a machine on which no other one is under way."""
        ...

    def look_after(self) -> Sequence[str]:
        """Called from time to time: notices workers that came or went; returns what the user should know."""
        ...

    def shutdown(self) -> None:
        """Ends what was started, when nothing is under way any more."""
        ...

    def kill(self) -> None:
        """Ends it at once, whatever is under way."""
        ...

    def has_begun(self, future: Future[T], /) -> bool:
        """Whether a call under way is being made, and not waiting for what has to start first."""
        ...

    def stop(self, future: Future[T], /) -> None:
        """Ends one call, whatever it is doing; its future then raises a `BrokenExecutor`."""
        ...


def completed(
    engine: Engine,
    fn: Callable[[Job], T],
    jobs: Iterable[Job],
    *,
    alone: bool = False,
    tell: Callable[[str], None] = lambda text: None,
    look: Callable[[Collection[Job]], None] = lambda under_way: None,
    limit: float | None = None,
) -> Iterator[tuple[Job, Future[T]]]:
    """Computes `fn` of all jobs, in order as far as there is room, and yields each with its completed future.

    A job whose worker was lost is tried again, as often as the engine says, before all others. `tell` takes
    what the user should know, and `look` sees the jobs under way from time to time. A job that takes longer than
    `limit` seconds is stopped, and its future raises `TimeLimit`. Before it begins, its worker
    may take two minutes to start, or that long if it is more.
    """
    waiting = list(jobs)
    under_way: dict[Future[T], Job] = {}
    deadlines = _Deadlines(engine, limit)
    while waiting or under_way:
        for text in engine.look_after():
            tell(text)
        while (place := _first_with_room(engine, waiting, under_way.values(), alone)) is not None:
            job = waiting.pop(place)
            under_way[future := engine.submit(fn, job)] = job
            deadlines.add(future)
        if not under_way:
            time.sleep(POLL_SECONDS)
            continue
        for future in wait(under_way, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done:
            job = under_way.pop(future)
            late = deadlines.remove(future)
            error = future.exception()
            if late and isinstance(error, BrokenExecutor):
                yield job, _timed_out()
            elif isinstance(error, BrokenExecutor) and job.attempt < engine.retries:
                waiting.insert(0, replace(job, attempt=job.attempt + 1))
                tell(f"{job.name}: {error}; tried again ({job.attempt + 1} of {engine.retries})")
            else:
                yield job, future
        deadlines.enforce()
        look(under_way.values())


class _Deadlines:
    """When calls under way have to be done; a limit of None lets them take as long as they like."""

    def __init__(self, engine: Engine, limit: float | None) -> None:
        self._engine, self._limit = engine, limit
        self._since: dict[Future[Any], float] = {}
        self._begun: set[Future[Any]] = set()
        self._late: set[Future[Any]] = set()

    def add(self, future: Future[Any]) -> None:
        self._since[future] = time.monotonic()

    def remove(self, future: Future[Any]) -> bool:
        """Whether it was stopped for being late."""
        del self._since[future]
        return future in self._late

    def enforce(self) -> None:
        """Stops what is late. The clock of a call starts anew when its worker begins it."""
        if self._limit is None:
            return
        for future in self._since.keys() - self._late:
            if future not in self._begun and self._engine.has_begun(future):
                self._begun.add(future)
                self._since[future] = time.monotonic()
            allowed = self._limit if future in self._begun else max(self._limit, START_SECONDS)
            if time.monotonic() - self._since[future] > allowed:
                self._late.add(future)
                self._engine.stop(future)


def _timed_out() -> Future[T]:
    future: Future[T] = Future()
    future.set_exception(TimeLimit())
    return future


def _first_with_room(engine: Engine, waiting: list[Job], under_way: Collection[Job], alone: bool) -> int | None:
    # Cells of one device are alike to an engine.
    asked: set[str] = set()
    for place, job in enumerate(waiting):
        if job.cell.device not in asked and engine.has_room(job, under_way, alone):
            return place
        asked.add(job.cell.device)
    return None
