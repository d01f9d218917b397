"""The engine `dask`: assigns cells to the workers of a Dask scheduler and writes the records that they send."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from distributed.scheduler import KilledWorker

from optbench.results.atomic import write_bytes
from optbench.results.directory import ResultsDirectory
from optbench.runner.dask.cluster import replenish, wait_for_exit
from optbench.runner.dask.records import list_records, write_record
from optbench.runner.dask.roster import RemoteWorker, Roster
from optbench.runner.dask.sources import read_sources
from optbench.runner.dask.worker import Abandoned, Answer, Greeting, Parcel, WorkerUnfit, compute
from optbench.runner.job import Job
from optbench.runner.last_words import LostWorker, StderrTap

if TYPE_CHECKING:
    import distributed

T = TypeVar("T")


class WorkerLost(LostWorker):
    """The worker has ended or can't be reached; its cell has not been computed."""


@dataclass(eq=False)
class _Call:
    """A running job with its worker and futures."""

    job: Job
    worker: RemoteWorker
    outcome: Future[Any]
    #: Of a worker that this run has started on this machine.
    tap: StderrTap | None
    remote: distributed.Future | None = None

    def close_tap(self) -> str:
        """Ends the tap, if there is one, and returns what it kept."""
        tap, self.tap = self.tap, None
        return tap.close() if tap else ""

    def make_lost_error(self) -> WorkerLost:
        """Returns the error for the loss of the worker."""
        exit_code = wait_for_exit(self.worker.address) if self.tap else None
        return WorkerLost(f"worker {self.worker.address} is gone", exit_code, self.close_tap())


class DaskEngine:
    """Computes cells on the workers of a Dask scheduler, one cell per worker at a time.

    The engine assigns each cell to an idle worker itself, so the scheduler has nothing to redistribute and a worker
    that dies loses one cell only. A cell on a GPU needs a worker with the resource `GPU`. Records are written by
    workers that can access the results directory, and by this process for all others.

    Args:
        client: A client of the scheduler.
        directory: The results directory.
        environment: Description of the environment of this process.
        limit: Maximum number of cells at a time (default: one per worker).
        ours: Whether the workers were started by this run on this machine.
        prepare: Called in each worker to make shared data available; must be picklable.
    """

    #: Maximum number of further attempts for a cell whose worker was lost.
    retries = 2

    def __init__(
        self,
        client: distributed.Client,
        directory: ResultsDirectory,
        environment: dict[str, Any],
        *,
        limit: int | None = None,
        ours: bool = False,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._client, self._limit, self._ours = client, limit, ours
        self._directory = ResultsDirectory(directory.folder.absolute())
        self._secret = secrets.token_hex(16)
        self._probe = self._directory.folder / f".seen-{self._secret[:8]}"
        for stale in self._directory.folder.glob(".seen-*"):  # left by a run that was killed
            stale.unlink(missing_ok=True)
        write_bytes(self._probe, self._secret.encode())
        greeting = Greeting(self._probe, self._secret, ours, prepare)
        self._roster = Roster(client, greeting, environment, self._directory.write_environment)
        self._chosen: RemoteWorker | None = None
        self._submitted: Counter[str] = Counter()
        self._calls: dict[str, _Call] = {}
        self._broken: BaseException | None = None
        # One thread writes all records that are received, in the order of their arrival.
        self._writer = ThreadPoolExecutor(1, "optbench-records")
        # The topic has the client's name, so the scheduler removes it some time after the client has left.
        client.subscribe_topic(client.id, self._on_event)

    def has_room(self, job: Job, under_way: Collection[Job], alone: bool) -> bool:
        """Whether a worker is free for the job; the next `submit` uses this worker."""
        full = self._limit is not None and len(under_way) >= self._limit
        self._chosen = None if full else self._roster.find_free(job.cell.device, alone)
        return self._chosen is not None

    def submit(self, fn: Callable[[Job], T], job: Job, /) -> Future[T]:
        """Starts the job on the worker that `has_room` has chosen.

        Raises:
            UserError: A user's file with a problem or an optimizer can't be read.
        """
        worker, self._chosen = self._chosen, None
        assert worker is not None
        assert worker.introduction is not None
        name = job.cell.id if fn.__name__ == "execute" else f"{job.cell.id}-{fn.__name__}"
        # The scheduler returns the first result of a key that it knows, so every submission needs its own key.
        key = f"{name}-a{self._submitted[name]}"
        self._submitted[name] += 1
        parcel = self._parcel(job, worker.environment, worker.introduction.sees_disk)
        call = self._calls[key] = _Call(job, worker, Future(), StderrTap() if self._ours else None)
        call.outcome.set_running_or_notify_cancel()
        worker.busy = True
        call.remote = self._client.submit(
            compute,
            fn,
            parcel,
            call.tap.path if call.tap else "",
            key=key,
            pure=False,
            workers=[worker.address],
            allow_other_workers=False,
            resources={} if job.cell.device == "cpu" else {"GPU": 1},
        )
        call.remote.add_done_callback(lambda _: self._write(partial(self._finish, key, call)))
        return call.outcome

    def poll(self) -> Sequence[str]:
        """Updates the list of workers, ends the calls of lost workers, and returns messages for the user.

        Raises:
            UserError: The scheduler does not respond.
            OSError: A record can't be written, such as on a full disk.
        """
        if self._broken is not None:
            raise self._broken
        if self._ours:
            replenish(self._client)
        self._roster.refresh()
        for call in [*self._calls.values()]:
            # A call that is bound to a lost worker would wait forever.
            if not self._roster.has(call.worker):
                self._abandon(call)
        return self._roster.pop_messages()

    def shutdown(self) -> None:
        """Ends the connection to the workers; workers of a running scheduler stay."""
        self._writer.shutdown()
        with suppress(Exception):
            self._client.unsubscribe_topic(self._client.id)
        self._probe.unlink(missing_ok=True)

    def has_begun(self, future: Future[Any]) -> bool:
        return True

    def stop(self, future: Future[Any]) -> None:
        """Not supported: workers of a scheduler may belong to others and can't be killed."""
        raise NotImplementedError

    def kill(self) -> None:
        """Cancels all running jobs: a worker ends its job when it writes the next record."""
        remotes = [call.remote for call in self._calls.values() if call.remote is not None]
        with suppress(Exception):
            self._client.cancel(remotes, force=True)
        self.shutdown()

    def _parcel(self, job: Job, environment: str, sees_disk: bool) -> Parcel:
        source = replace(job.source, directory=job.source.directory.absolute())
        return Parcel(
            job=replace(job, directory=self._directory, source=source, environment=environment),
            records=() if sees_disk else tuple(list_records(self._directory.cell(job.cell.id), job.seeds)),
            sees_disk=sees_disk,
            sources={} if self._ours else read_sources(job.cell),
            secret=self._secret,
            topic=self._client.id,
        )

    def _on_event(self, event: tuple[float, Any]) -> None:
        match event:
            case (_, {"key": str(key), "record": str(record)}):
                self._write(partial(self._store, key, record))

    def _write(self, action: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # after `shutdown`
            self._writer.submit(action)

    def _store(self, key: str, record: str) -> None:
        """Writes a record of a running cell, so that it is not lost with the worker."""
        call = self._calls.get(key)
        if call is None or call.outcome.done():
            return
        try:
            write_record(self._directory.cell(call.job.cell.id), record)
        except BaseException as error:
            self._broken = error

    def _finish(self, key: str, call: _Call) -> None:
        """Sets the outcome of a call to its result or exception.

        The call stays in `_calls` until then: if its worker dies before the result has arrived, `poll` ends the call.
        """
        try:
            if call.outcome.done():
                return
            # Free the worker before setting the outcome, so that it can be used as soon as the outcome is known.
            call.worker.busy = False
            try:
                value = self._receive(call)
            except BaseException as error:
                outcome = partial(call.outcome.set_exception, error)
            else:
                outcome = partial(call.outcome.set_result, value)
            with suppress(InvalidStateError):  # the worker was reported as lost in the meantime
                outcome()
        finally:
            call.close_tap()
            self._calls.pop(key, None)

    def _receive(self, call: _Call) -> Any:
        """Writes the records of a finished call and returns its value.

        Raises the exception of the job, WorkerLost or ResultsWriteError.
        """
        assert call.remote is not None
        try:
            answer: Answer = call.remote.result()
        except WorkerUnfit as error:
            self._roster.refuse(call.worker, str(error))
            raise call.make_lost_error() from None
        except BaseException as error:
            # An exception that the cell did not raise itself is due to the worker or the connection.
            if call.remote.status == "error" and not isinstance(error, (KilledWorker, Abandoned)):
                raise
            # Do not wait for the next refresh: the worker must not get another cell until it has been seen again.
            self._roster.drop(call.worker)
            raise call.make_lost_error() from None
        if answer.secret != self._secret:
            raise WorkerLost("another run computed this cell on the same scheduler")
        for record in answer.records:
            write_record(self._directory.cell(call.job.cell.id), record)
        return answer.value

    def _abandon(self, call: _Call) -> None:
        # Set the outcome first: another thread reacts to the cancellation.
        with suppress(InvalidStateError):  # the answer has arrived nevertheless
            call.outcome.set_exception(call.make_lost_error())
        if call.remote is not None:
            with suppress(Exception):
                call.remote.cancel(force=True)
