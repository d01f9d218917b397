"""Who gets a cell: GPUs for those that need one, machines of one kind and alone for those that are timed."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from optbench.errors import UserError
from optbench.machine.environment import describe_environment
from optbench.runner.dask import roster
from optbench.runner.dask.roster import Roster
from optbench.runner.dask.worker import Greeting, Introduction

HERE = describe_environment()


class _Client:
    """Stands for a scheduler's client: `there` are its workers, each with what it says of itself."""

    def __init__(self, **there: Any) -> None:
        self.there = there
        self.scheduler = self
        self.identity = None
        self.status: dict[str, str] = {}
        self.resources: dict[str, dict[str, float]] = {}

    def sync(self, what: Any, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1  # all of them
        return {
            "workers": {
                address: {
                    "status": self.status.get(address, "running"),
                    "resources": self.resources.get(address, {}),
                }
                for address in self.there
            }
        }

    def submit(self, fn: Any, greeting: Greeting, devices: tuple[str, ...], **how: Any) -> Future[Any]:
        (address,) = how["workers"]
        assert devices == (("cuda",) if self.resources.get(address) else ())
        said: Future[Any] = Future()
        found = self.there[address]
        said.set_exception(found) if isinstance(found, Exception) else said.set_result(found)
        return said


def a_worker(machine: str, key: str = HERE["key"], **changes: Any) -> Introduction:
    return Introduction(machine, {**HERE, "key": key, **changes}, sees_disk=False)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(roster, "PATIENT_SECONDS", -1.0)


def met(client: _Client, met: list[str] | None = None) -> Roster:
    told = [] if met is None else met
    found = Roster(client, Greeting(Path("x"), "s", False, None), HERE, lambda e: told.append(e["key"]))  # type: ignore[arg-type]
    found.refresh()
    return found


def names(found: Roster, device: str, alone: bool = False) -> list[str]:
    """Whom cells go to that are submitted until nobody is free; they are free again afterwards."""
    taken = []
    while (worker := found.find_free(device, alone)) is not None:
        worker.busy = True
        taken.append(worker)
    for worker in taken:
        worker.busy = False
    return [worker.address for worker in taken]


def test_every_worker_takes_one_cell_and_those_with_a_gpu_others() -> None:
    client = _Client(a=a_worker("1"), b=a_worker("1"), g=a_worker("2"), h=a_worker("2"))
    client.resources = {"g": {"GPU": 1.0}, "h": {"GPU": 1.0}}
    found = met(client)
    assert names(found, "cpu") == ["a", "b"]
    assert names(found, "cuda") == ["g", "h"]


def test_where_all_workers_have_a_gpu_they_take_other_cells_too() -> None:
    client = _Client(g=a_worker("1"), h=a_worker("1"))
    client.resources = {"g": {"GPU": 1.0}, "h": {"GPU": 1.0}}
    assert names(met(client), "cpu") == ["g", "h"]


def test_timed_cells_are_alone_on_machines_of_the_commonest_kind() -> None:
    client = _Client(
        a=a_worker("1", "old"), b=a_worker("2", "new"), c=a_worker("2", "new"), d=a_worker("3", "new"),
        e=a_worker("1", "old"), f=a_worker("1", "old"),
    )  # fmt: skip
    found = met(client)
    assert names(found, "cpu", alone=True) == ["b", "d"]  # of most machines, not of most workers
    client.there["g"], client.there["h"] = a_worker("4", "old"), a_worker("5", "old")
    found.refresh()
    assert names(found, "cpu", alone=True) == ["b", "d"]  # still, or times couldn't be compared
    kept, went = found.find_free("cpu", False), found.find_free("cpu", True)
    assert kept is not None
    assert went is not None
    for address in "bcd":
        del client.there[address]
    found.refresh()
    assert (kept.address, went.address) == ("a", "b")
    assert found.has(kept)
    assert not found.has(went)
    assert names(found, "cpu", alone=True) == ["a", "g", "h"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (
            a_worker("1", packages={**HERE["packages"], "torch": "1.0"}),
            f"it has torch 1.0 instead of {HERE['packages']['torch']}",
        ),
        (a_worker("1", python="3.9.1"), f"it has Python 3.9.1 instead of {HERE['python']}"),
        (ModuleNotFoundError("No module named 'optbench'"), "it can't run optbench: ModuleNotFoundError: No module"),
    ],
)
def test_workers_that_would_compute_something_else_are_not_used(other: Any, reason: str) -> None:
    keys: list[str] = []
    found = met(_Client(a=other, b=a_worker("1", "fine")), keys)
    assert names(found, "cpu") == ["b"]
    assert keys == ["fine"]
    (line,) = found.pop_messages()
    assert line.startswith(f"worker a is not used: {reason}")
    found.refresh()
    assert found.pop_messages() == []  # said once, and not asked again


def test_another_patch_release_of_python_computes_the_same() -> None:
    python = ".".join([*HERE["python"].split(".")[:2], "99"])
    assert names(met(_Client(a=a_worker("1", python=python))), "cpu") == ["a"]


def test_a_worker_that_retires_gets_nothing_new() -> None:
    client = _Client(a=a_worker("1"), b=a_worker("1"))
    client.status = {"a": "closing_gracefully"}
    assert names(met(client), "cpu") == ["b"]


def test_a_worker_that_was_dropped_gets_nothing_until_it_is_met_again() -> None:
    client = _Client(a=a_worker("1"), b=a_worker("1"))
    found = met(client)
    first = found.find_free("cpu", alone=False)
    assert first is not None
    found.drop(first)
    assert names(found, "cpu") == ["b"]
    found.refresh()
    assert sorted(names(found, "cpu")) == ["a", "b"]


def test_nobody_with_a_gpu_is_said_once() -> None:
    found = met(_Client(a=a_worker("1")))
    assert names(found, "cuda") == []
    assert found.pop_messages() == ["waiting for workers with a GPU (dask worker … --resources GPU=1)"]
    assert names(found, "cuda") == []
    assert found.pop_messages() == []


def test_a_scheduler_that_is_gone_is_one_line() -> None:
    client = _Client(a=a_worker("1"))
    found = met(client)

    def fail(what: Any, n_workers: int) -> dict[str, Any]:
        raise OSError("Timed out trying to connect")

    client.sync = fail  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"the Dask scheduler does not respond \(OSError: Timed out"):
        found.refresh()
