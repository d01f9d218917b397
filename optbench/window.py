"""The sliding window: as many jobs under way as an engine has room for, and others only when one of them is done.

With everything queued at once, a worker that dies would take innocent cells with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import replace
from typing import Protocol, TypeVar

from optbench.job import Job

T = TypeVar("T")

#: How often the engine and the jobs under way are looked after, in seconds.
POLL_SECONDS = 0.5


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
    `limit` seconds is stopped, and its future raises `TimeLimit`.
    """
    waiting = list(jobs)
    under_way: dict[Future[T], Job] = {}
    started: dict[Future[T], float] = {}
    late: set[Future[T]] = set()
    while waiting or under_way:
        for text in engine.look_after():
            tell(text)
        while (place := _first_with_room(engine, waiting, under_way.values(), alone)) is not None:
            job = waiting.pop(place)
            future = engine.submit(fn, job)
            under_way[future], started[future] = job, time.monotonic()
        if not under_way:
            time.sleep(POLL_SECONDS)
            continue
        for future in wait(under_way, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done:
            job = under_way.pop(future)
            del started[future]
            error = future.exception()
            if future in late and isinstance(error, BrokenExecutor):
                yield job, _timed_out()
            elif isinstance(error, BrokenExecutor) and job.attempt < engine.retries:
                waiting.insert(0, replace(job, attempt=job.attempt + 1))
                tell(f"{job.name}: {error}; tried again ({job.attempt + 1} of {engine.retries})")
            else:
                yield job, future
        for future, since in started.items():
            if limit is not None and future not in late and time.monotonic() - since > limit:
                late.add(future)
                engine.stop(future)
        look(under_way.values())


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
