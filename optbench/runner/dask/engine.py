"""The coordinator's side: gives cells to workers, and writes what comes back."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import BrokenExecutor, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from distributed.scheduler import KilledWorker

from optbench.results.atomic import write_bytes
from optbench.results.directory import ResultsDirectory
from optbench.runner.dask.cluster import replenish
from optbench.runner.dask.records import state, write
from optbench.runner.dask.roster import RemoteWorker, Roster
from optbench.runner.dask.sources import carried
from optbench.runner.dask.worker import Abandoned, Answer, Greeting, Parcel, WorkerUnfit, compute
from optbench.runner.job import Job

if TYPE_CHECKING:
    import distributed

T = TypeVar("T")


class WorkerLost(BrokenExecutor):
    """The worker is gone, or was cut off; what it held has not been computed."""


@dataclass(eq=False)
class _Call:
    """A job under way."""

    job: Job
    worker: RemoteWorker
    outcome: Future[Any]
    remote: distributed.Future | None = None


class DaskEngine:
    """Computes cells on the workers of a dask scheduler, each of them one cell at a time.

    Which worker takes a cell is decided here, and not by the scheduler: a cell is bound to a worker that has nothing
    else to do, so there is nothing to steal, and a worker that dies has one cell alone. A cell on a GPU needs a
    worker with the resource `GPU`. Records are written by this process, or by workers that see its disk.

    `environment` is that of this process; `limit` the most cells at once. Where workers are `ours`, they are on this
    machine and end with this run, and `prepare` finds them the data that it shares.
    """

    #: How often a cell is tried again whose worker was lost.
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
        for left in self._directory.folder.glob(".seen-*"):  # of a run that was killed
            left.unlink(missing_ok=True)
        write_bytes(self._probe, self._secret.encode())
        greeting = Greeting(self._probe, self._secret, ours, prepare)
        self._roster = Roster(client, greeting, environment, self._directory.write_environment)
        self._chosen: RemoteWorker | None = None
        self._submitted: Counter[str] = Counter()
        self._calls: dict[str, _Call] = {}
        self._broken: BaseException | None = None
        # Whatever travels is written by one thread, in the order in which it arrives.
        self._writer = ThreadPoolExecutor(1, "optbench-records")
        # What a scheduler keeps under a client's name it forgets some time after the client left.
        client.subscribe_topic(client.id, self._announced)

    def has_room(self, job: Job, under_way: Collection[Job], alone: bool) -> bool:
        """Whether a worker is there that takes the job; the next `submit` gives it to this worker."""
        full = self._limit is not None and len(under_way) >= self._limit
        self._chosen = None if full else self._roster.free(job.cell.device, alone)
        return self._chosen is not None

    def submit(self, fn: Callable[[Job], T], job: Job, /) -> Future[T]:
        """Starts the job on the worker that had room for it. Raises UserError where the user's file is gone."""
        worker, self._chosen = self._chosen, None
        assert worker is not None
        assert worker.known is not None
        name = job.cell.id if fn.__name__ == "execute" else f"{job.cell.id}-{fn.__name__}"
        # As long as a key is known to the scheduler, it stands for what came of it first.
        key = f"{name}-a{self._submitted[name]}"
        self._submitted[name] += 1
        parcel = self._parcel(job, worker.environment, worker.known.sees_disk)
        call = self._calls[key] = _Call(job, worker, Future())
        call.outcome.set_running_or_notify_cancel()
        worker.busy = True
        call.remote = self._client.submit(
            compute,
            fn,
            parcel,
            key=key,
            pure=False,
            workers=[worker.address],
            allow_other_workers=False,
            resources={} if job.cell.device == "cpu" else {"GPU": 1},
        )
        call.remote.add_done_callback(lambda _: self._write(partial(self._finish, key, call)))
        return call.outcome

    def look_after(self) -> Sequence[str]:
        """Notices workers that came or went. Raises UserError where the scheduler is gone, OSError for a full disk."""
        if self._broken is not None:
            raise self._broken
        if self._ours:
            replenish(self._client)
        self._roster.look()
        for call in [*self._calls.values()]:
            # Whoever noticed first that the worker is gone: a call that is bound to it would wait for ever.
            if not self._roster.has(call.worker):
                self._lose(call)
        return self._roster.news()

    def shutdown(self) -> None:
        """Lets go of the workers; those of others stay."""
        self._writer.shutdown()
        with suppress(Exception):
            self._client.unsubscribe_topic(self._client.id)
        self._probe.unlink(missing_ok=True)

    def has_begun(self, future: Future[Any]) -> bool:
        return True

    def stop(self, future: Future[Any]) -> None:
        """A scheduler's workers are others', and may not be killed."""
        raise NotImplementedError

    def kill(self) -> None:
        """Nobody waits for what is under way any more: workers leave it at their next record."""
        remotes = [call.remote for call in self._calls.values() if call.remote is not None]
        with suppress(Exception):
            self._client.cancel(remotes, force=True)
        self.shutdown()

    def _parcel(self, job: Job, environment: str, sees_disk: bool) -> Parcel:
        source = replace(job.source, directory=job.source.directory.absolute())
        return Parcel(
            job=replace(job, directory=self._directory, source=source, environment=environment),
            records=() if sees_disk else tuple(state(self._directory.cell(job.cell.id), job.seeds)),
            sees_disk=sees_disk,
            sources={} if self._ours else carried(job.cell),
            secret=self._secret,
            topic=self._client.id,
        )

    def _announced(self, event: tuple[float, Any]) -> None:
        match event:
            case (_, {"key": str(key), "record": str(record)}):
                self._write(partial(self._keep, key, record))

    def _write(self, what: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # after `shutdown`
            self._writer.submit(what)

    def _keep(self, key: str, record: str) -> None:
        """Writes down a record of a cell that is under way, so that it isn't lost with its worker."""
        call = self._calls.get(key)
        if call is None or call.outcome.done():
            return
        try:
            write(self._directory.cell(call.job.cell.id), record)
        except BaseException as error:
            self._broken = error

    def _finish(self, key: str, call: _Call) -> None:
        """Takes what came of a call, which stays one of `_calls` meanwhile: where the worker dies with the answer, it
        is the loss of the worker that ends the wait.
        """
        try:
            if call.outcome.done():
                return
            # The worker first: whoever waits for the result finds it free.
            call.worker.busy = False
            try:
                value = self._received(call)
            except BaseException as error:
                outcome = partial(call.outcome.set_exception, error)
            else:
                outcome = partial(call.outcome.set_result, value)
            with suppress(InvalidStateError):  # where the worker was missed meanwhile
                outcome()
        finally:
            self._calls.pop(key, None)

    def _received(self, call: _Call) -> Any:
        """What the job gave, its records written. Raises what it raised, or WorkerLost, or ResultsUnwritable."""
        assert call.remote is not None
        try:
            answer: Answer = call.remote.result()
        except WorkerUnfit as error:
            self._roster.refuse(call.worker, str(error))
            raise _lost(call) from None
        except BaseException as error:
            # Whatever the cell didn't raise itself happened to the worker, or on the way.
            if call.remote.status == "error" and not isinstance(error, (KilledWorker, Abandoned)):
                raise
            # Known sooner than by a look at all workers; until then nothing else may be given to it.
            self._roster.drop(call.worker)
            raise _lost(call) from None
        if answer.secret != self._secret:
            raise WorkerLost("another run computed this cell on the same scheduler")
        for record in answer.records:
            write(self._directory.cell(call.job.cell.id), record)
        return answer.value

    def _lose(self, call: _Call) -> None:
        # The outcome first: cancelling is noticed by another thread.
        with suppress(InvalidStateError):  # where the answer came nevertheless
            call.outcome.set_exception(_lost(call))
        if call.remote is not None:
            with suppress(Exception):
                call.remote.cancel(force=True)


def _lost(call: _Call) -> WorkerLost:
    return WorkerLost(f"worker {call.worker.address} is gone")
