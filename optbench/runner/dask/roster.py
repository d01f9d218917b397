"""The workers of a scheduler: who came and went, what each of them can do, and who is free."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distributed import CancelledError
from distributed.scheduler import KilledWorker

from optbench.errors import UserError, one_line
from optbench.runner.dask.worker import Greeting, Introduction, introduce

if TYPE_CHECKING:
    import distributed

#: Seconds between two looks at the scheduler's list of workers, and until a user is told that nobody is there.
LOOK_SECONDS, PATIENT_SECONDS = 1.0, 10.0


@dataclass(eq=False)
class RemoteWorker:
    """A worker process, which computes one cell at a time."""

    address: str
    gpu: bool
    introduction: distributed.Future
    known: Introduction | None = None
    #: Whether it takes work: one that retires, or has no memory left, doesn't.
    running: bool = True
    busy: bool = False

    @property
    def machine(self) -> str:
        return self.known.machine if self.known else self.address

    @property
    def environment(self) -> str:
        return str(self.known.environment["key"]) if self.known else ""


class Roster:
    """All workers of a client's scheduler that would compute the same figures as this process.

    `meet` is told the environment of each; `environment` is that of this process.
    """

    def __init__(
        self,
        client: distributed.Client,
        greeting: Greeting,
        environment: dict[str, Any],
        meet: Callable[[dict[str, Any]], None],
    ) -> None:
        self._client, self._greeting, self._environment, self._meet = client, greeting, environment, meet
        self._workers: dict[str, RemoteWorker] = {}
        self._refused: set[str] = set()
        self._greeted = 0
        self._references: dict[str, str] = {}
        self._news: list[str] = []
        self._looked = -LOOK_SECONDS
        self._useful = time.monotonic()

    def has(self, worker: RemoteWorker) -> bool:
        """Whether it is still there, and takes cells."""
        return self._workers.get(worker.address) is worker

    def look(self) -> None:
        """Notices workers that came or went. Raises UserError where the scheduler did."""
        # New workers are met as soon as they have said who they are.
        waiting = any(worker.known is None for worker in self._workers.values())
        if not waiting and time.monotonic() - self._looked < LOOK_SECONDS:
            return
        try:
            # Asked anew: `scheduler_info` gives what was known last where nobody answers.
            found = self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"]
        except Exception as error:
            raise UserError(
                f"the dask scheduler is gone ({one_line(error)}); what was computed is kept, and the same command "
                "resumes"
            ) from None
        self._workers = {address: worker for address, worker in self._workers.items() if address in found}
        for address, told in found.items():
            if address not in self._workers and address not in self._refused:
                gpu = told["resources"].get("GPU", 0) >= 1
                self._workers[address] = RemoteWorker(address, gpu, self._greet(address, gpu))
            if address in self._workers:
                self._workers[address].running = told["status"] == "running"
        for worker in [*self._workers.values()]:
            if worker.known is None and worker.introduction.done():
                self._take_in(worker)
        self._looked = time.monotonic()

    def free(self, device: str, alone: bool) -> RemoteWorker | None:
        """A worker for a cell on this device; `alone`: on a machine on which no other one is busy.

        Cells without a GPU go to workers without one, where there are any. Those that are timed, alone, all go to
        machines of one kind, so that times can be compared.
        """
        able = [worker for worker in self._workers.values() if worker.known and (device == "cpu" or worker.gpu)]
        if device == "cpu" and not all(worker.gpu for worker in able):
            able = [worker for worker in able if not worker.gpu]
        self._note_absence(device, able)
        ready = [worker for worker in able if worker.running and not worker.busy]
        if alone:
            busy = {worker.machine for worker in self._workers.values() if worker.busy}
            alike = self._reference(device, able)
            ready = [worker for worker in ready if worker.machine not in busy and worker.environment == alike]
        return ready[0] if ready else None

    def refuse(self, worker: RemoteWorker, reason: str) -> None:
        """Gives this worker no more cells."""
        self._refused.add(worker.address)
        self._workers.pop(worker.address, None)
        self._news.append(f"worker {worker.address} is not used: {reason}")

    def drop(self, worker: RemoteWorker) -> None:
        """Forgets a worker that is gone; one that is not is met again at the next look."""
        self._workers.pop(worker.address, None)

    def news(self) -> list[str]:
        """What the user should know and has not been told."""
        news, self._news = self._news, []
        return news

    def _greet(self, address: str, gpu: bool) -> distributed.Future:
        key = f"optbench-introduce-{self._greeting.secret[:8]}-{self._greeted}"
        self._greeted += 1
        devices, there = (("cuda",) if gpu else ()), {"workers": [address], "allow_other_workers": False}
        return self._client.submit(introduce, self._greeting, devices, key=key, pure=False, **there)

    def _take_in(self, worker: RemoteWorker) -> None:
        try:
            known: Introduction = worker.introduction.result()
        except (KilledWorker, CancelledError):
            return  # is gone, and noticed as such
        except Exception as error:
            self.refuse(worker, f"it can't run optbench: {one_line(error)}")
            return
        if differences := _differences(self._environment, known.environment):
            self.refuse(worker, differences)
            return
        worker.known = known
        self._meet(known.environment)

    def _note_absence(self, device: str, able: Sequence[RemoteWorker]) -> None:
        if able:
            self._useful = time.monotonic()
        elif time.monotonic() - self._useful > PATIENT_SECONDS:
            self._useful = float("inf")  # said once
            offering = "" if device == "cpu" else " with a GPU (dask worker … --resources GPU=1)"
            self._news.append(f"waiting for workers{offering}")

    def _reference(self, device: str, able: Sequence[RemoteWorker]) -> str:
        """The environment in which cells of a device are timed: that of most machines, as long as one is there."""
        there = {worker.machine: worker.environment for worker in able}
        if self._references.get(device) not in there.values():
            counts = Counter(there.values())
            self._references[device] = max(sorted(counts), key=lambda key: counts[key], default="")
        return self._references[device]


def _differences(here: dict[str, Any], there: dict[str, Any]) -> str:
    """What would make the same cell compute other figures: Python and the packages, as one line."""
    found = []
    if _minor(here["python"]) != _minor(there["python"]):
        found.append(f"Python {there['python']} there, {here['python']} here")
    for package, version in here["packages"].items():
        if there["packages"].get(package) != version:
            found.append(f"{package} {there['packages'].get(package)} there, {version} here")
    return "; ".join(found)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
