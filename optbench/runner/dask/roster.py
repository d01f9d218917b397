"""The list of a scheduler's workers: which are connected, what each can compute, and which are free."""

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

#: Interval in seconds at which the list is refreshed, and time without a worker after which the user gets a message.
REFRESH_SECONDS, PATIENT_SECONDS = 1.0, 10.0


@dataclass(eq=False)
class RemoteWorker:
    """A worker process, which computes one cell at a time."""

    address: str
    gpu: bool
    #: Future of the introduction.
    pending: distributed.Future
    #: The worker's description of itself; None until it has arrived.
    introduction: Introduction | None = None
    #: Whether it accepts work; a worker that is being retired, or has no memory left, does not.
    running: bool = True
    busy: bool = False

    @property
    def machine(self) -> str:
        """Identifier of the worker's machine."""
        return self.introduction.machine if self.introduction else self.address

    @property
    def environment(self) -> str:
        """Key of the worker's environment; empty until it is known."""
        return str(self.introduction.environment["key"]) if self.introduction else ""


class Roster:
    """The workers of a scheduler that compute the same numbers as this process.

    Args:
        client: A client of the scheduler.
        greeting: Sent to each new worker.
        environment: Description of the environment of this process.
        meet: Called with the description of each worker's environment.
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
        self._messages: list[str] = []
        self._refreshed = -REFRESH_SECONDS
        self._useful = time.monotonic()

    def has(self, worker: RemoteWorker) -> bool:
        """Whether the worker is still connected and accepts cells."""
        return self._workers.get(worker.address) is worker

    def refresh(self) -> None:
        """Updates the list of connected workers and admits new ones.

        Raises:
            UserError: The scheduler does not respond.
        """
        # While a new worker has not introduced itself, refresh at every call.
        waiting = any(worker.introduction is None for worker in self._workers.values())
        if not waiting and time.monotonic() - self._refreshed < REFRESH_SECONDS:
            return
        try:
            # Not `scheduler_info`, which returns the last known list if the scheduler does not respond.
            connected = self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"]
        except Exception as error:
            raise UserError(
                f"the Dask scheduler does not respond ({one_line(error)}); results so far are kept, and the same "
                "command resumes"
            ) from None
        self._workers = {address: worker for address, worker in self._workers.items() if address in connected}
        for address, description in connected.items():
            if address not in self._workers and address not in self._refused:
                gpu = description["resources"].get("GPU", 0) >= 1
                self._workers[address] = RemoteWorker(address, gpu, self._greet(address, gpu))
            if address in self._workers:
                self._workers[address].running = description["status"] == "running"
        for worker in [*self._workers.values()]:
            if worker.introduction is None and worker.pending.done():
                self._admit(worker)
        self._refreshed = time.monotonic()

    def find_free(self, device: str, alone: bool) -> RemoteWorker | None:
        """Returns a free worker for a cell, or None.

        Cells on the CPU use workers without a GPU if there are any. Timed cells (`alone`) all use machines with the
        same environment, so that their times can be compared.

        Args:
            device: Device of the cell.
            alone: Whether no other worker on the same machine may be busy.
        """
        able = [worker for worker in self._workers.values() if worker.introduction and (device == "cpu" or worker.gpu)]
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
        """Excludes a worker from further cells, with a message to the user."""
        self._refused.add(worker.address)
        self._workers.pop(worker.address, None)
        self._messages.append(f"worker {worker.address} is not used: {reason}")

    def drop(self, worker: RemoteWorker) -> None:
        """Removes a lost worker; if it is still connected, the next refresh adds it again."""
        self._workers.pop(worker.address, None)

    def pop_messages(self) -> list[str]:
        """Returns the messages for the user since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def _greet(self, address: str, gpu: bool) -> distributed.Future:
        key = f"optbench-introduce-{self._greeting.secret[:8]}-{self._greeted}"
        self._greeted += 1
        devices, there = (("cuda",) if gpu else ()), {"workers": [address], "allow_other_workers": False}
        return self._client.submit(introduce, self._greeting, devices, key=key, pure=False, **there)

    def _admit(self, worker: RemoteWorker) -> None:
        try:
            introduction: Introduction = worker.pending.result()
        except (KilledWorker, CancelledError):
            return  # the worker has ended; the next refresh removes it
        except Exception as error:
            self.refuse(worker, f"it can't run optbench: {one_line(error)}")
            return
        if differences := _differences(self._environment, introduction.environment):
            self.refuse(worker, differences)
            return
        worker.introduction = introduction
        self._meet(introduction.environment)

    def _note_absence(self, device: str, able: Sequence[RemoteWorker]) -> None:
        if able:
            self._useful = time.monotonic()
        elif time.monotonic() - self._useful > PATIENT_SECONDS:
            self._useful = float("inf")  # do not repeat the message
            resource = "" if device == "cpu" else " with a GPU (dask worker … --resources GPU=1)"
            self._messages.append(f"waiting for workers{resource}")

    def _reference(self, device: str, able: Sequence[RemoteWorker]) -> str:
        """Returns the environment in which cells of a device are timed.

        It is the environment of most machines, and remains the same as long as one of them is connected.
        """
        environments = {worker.machine: worker.environment for worker in able}
        if self._references.get(device) not in environments.values():
            counts = Counter(environments.values())
            self._references[device] = max(sorted(counts), key=lambda key: counts[key], default="")
        return self._references[device]


def _differences(here: dict[str, Any], there: dict[str, Any]) -> str:
    """Lists the versions of Python and packages that differ and could change the results, as one line."""
    differences = []
    if _minor(here["python"]) != _minor(there["python"]):
        differences.append(f"it has Python {there['python']} instead of {here['python']}")
    for package, version in here["packages"].items():
        if there["packages"].get(package) != version:
            differences.append(f"it has {package} {there['packages'].get(package)} instead of {version}")
    return "; ".join(differences)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
