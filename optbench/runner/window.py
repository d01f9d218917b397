"""Submits jobs to an engine in a sliding window: no more at a time than the engine has workers for.

If all jobs were queued at once, a worker that dies would also lose jobs that it had not started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from optbench.runner.job import Job

T = TypeVar("T")

#: Interval in seconds at which the engine is polled and time limits are checked.
POLL_SECONDS = 0.5
#: Minimum time in seconds that a worker may take to start if jobs have a time limit.
START_SECONDS = 120.0


class TimeLimit(Exception):
    """A job exceeded its time limit and was stopped."""


class Engine(Protocol):
    """Computes jobs. If the worker of a job is lost, the job's future raises a `BrokenExecutor`."""

    @property
    def retries(self) -> int:
        """Maximum number of further attempts for a job whose worker was lost."""
        ...

    def submit(self, fn: Callable[[Job], T], job: Job, /) -> Future[T]:
        """Starts a job; `has_room` has returned True for it."""
        ...

    def has_room(self, job: Job, under_way: Collection[Job], alone: bool) -> bool:
        """Whether a worker is free for the job; with `alone`, on a machine on which no other job is running."""
        ...

    def poll(self) -> Sequence[str]:
        """Updates the list of workers; returns messages for the user. Called regularly."""
        ...

    def shutdown(self) -> None:
        """Ends all workers of the engine; called when no job is running."""
        ...

    def kill(self) -> None:
        """Ends all workers of the engine immediately, including those that are computing."""
        ...

    def has_begun(self, future: Future[T], /) -> bool:
        """Whether the worker of a submitted job has started and begun the job."""
        ...

    def stop(self, future: Future[T], /) -> None:
        """Ends one job immediately; its future then raises a `BrokenExecutor`."""
        ...


def run_jobs(
    engine: Engine,
    fn: Callable[[Job], T],
    jobs: Iterable[Job],
    *,
    alone: bool = False,
    report: Callable[[str], None] = lambda text: None,
    watch: Callable[[Collection[Job]], None] = lambda under_way: None,
    limit: float | None = None,
) -> Iterator[tuple[Job, Future[T]]]:
    """Computes `fn` for all jobs and yields each job with its completed future, in the order of completion.

    Jobs are started in the given order. A job whose worker was lost is tried again before all others, up to
    `engine.retries` times.

    Args:
        engine: Computes the jobs.
        fn: The function to compute, such as `optbench.runner.cell.execute`.
        jobs: The jobs.
        alone: Whether each job needs a machine on which no other job is running (for timings).
        report: Receives messages for the user.
        watch: Called regularly with the running jobs.
        limit: Time limit per job in seconds. A job that exceeds it is stopped, and its future raises `TimeLimit`. The
            time that its worker takes to start does not count, up to two minutes or `limit`, whichever is longer.
    """
    waiting = list(jobs)
    under_way: dict[Future[T], Job] = {}
    deadlines = _Deadlines(engine, limit)
    while waiting or under_way:
        for text in engine.poll():
            report(text)
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
                yield job, _make_timed_out_future()
            elif isinstance(error, BrokenExecutor) and job.attempt < engine.retries:
                waiting.insert(0, replace(job, attempt=job.attempt + 1))
                report(f"{job.name}: {error}; trying again ({job.attempt + 1} of {engine.retries})")
            else:
                yield job, future
        deadlines.enforce()
        watch(under_way.values())


class _Deadlines:
    """Deadlines of the running jobs; without a limit (None) there are none."""

    def __init__(self, engine: Engine, limit: float | None) -> None:
        self._engine, self._limit = engine, limit
        self._since: dict[Future[Any], float] = {}
        self._begun: set[Future[Any]] = set()
        self._late: set[Future[Any]] = set()

    def add(self, future: Future[Any]) -> None:
        self._since[future] = time.monotonic()

    def remove(self, future: Future[Any]) -> bool:
        """Forgets a job and returns whether it was stopped because it exceeded its limit."""
        del self._since[future]
        return future in self._late

    def enforce(self) -> None:
        """Stops jobs that exceed their limit. A job's clock is reset when its worker begins the job."""
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


def _make_timed_out_future() -> Future[T]:
    future: Future[T] = Future()
    future.set_exception(TimeLimit())
    return future


def _first_with_room(engine: Engine, waiting: list[Job], under_way: Collection[Job], alone: bool) -> int | None:
    """Returns the index of the first waiting job that a worker is free for; None if there is none."""
    # Whether there is room depends on the device only: ask once per device.
    full: set[str] = set()
    for place, job in enumerate(waiting):
        if job.cell.device not in full and engine.has_room(job, under_way, alone):
            return place
        full.add(job.cell.device)
    return None
