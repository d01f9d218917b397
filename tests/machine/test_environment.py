"""The description of machine and versions that every result refers to."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from optbench.machine import environment
from optbench.machine.environment import describe_environment


def test_it_is_plain_json_with_the_versions_that_matter() -> None:
    found = describe_environment()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["packages"]["torch"] == version("torch")
    assert found["cores"] >= 1
    assert found["processor"]
    assert found["accelerators"] == {}


def test_the_key_is_equal_for_equal_environments_only(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_environment()
    assert describe_environment() == before
    assert len(before["key"]) == 8
    monkeypatch.setattr(environment, "version", lambda name: "0.0")
    assert describe_environment()["key"] != before["key"]


def test_accelerators_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"card of {device}")
    found = describe_environment(["cuda:1", "cpu", "mps", "cuda:1"])
    assert found["accelerators"] == {"cuda:1": "card of cuda:1", "mps": "mps"}
    assert found["key"] != describe_environment()["key"]


def test_a_machine_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(environment, "PACKAGES", ())
    monkeypatch.setattr(environment.Path, "read_text", nothing)
    monkeypatch.setattr(environment.os, "sysconf", nothing)
    found = describe_environment()
    assert found["memory_gib"] is None
    assert isinstance(found["processor"], str)


def test_a_package_that_is_missing_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("nosuchpackage",))
    assert describe_environment()["packages"] == {"nosuchpackage": None}
