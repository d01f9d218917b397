"""Seconds of different machines are never compared, and each record names where it was computed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.errors import UserError
from optbench.machine.environment import describe_environment
from optbench.results.checksum import unseal
from optbench.results.machines import TIMING_COLUMNS, check_seconds, list_machines
from tests.support.tiny import run_tiny


def environment(cores: int = 2, torch: str = "2.9.0", **accelerators: str) -> dict[str, Any]:
    return {"processor": "CPU", "cores": cores, "packages": {"torch": torch}, "accelerators": accelerators}


def run_with(monkeypatch: pytest.MonkeyPatch, folder: Path, *, torch: str = "", **choices: Any) -> optbench.Results:
    """A tiny benchmark, of which the environment says that it has this version of torch."""

    def described(devices: Any = ()) -> dict[str, Any]:
        known = describe_environment(devices)
        return {**known, "key": torch, "packages": {**known["packages"], "torch": torch}} if torch else known

    monkeypatch.setattr("optbench.runner.run.describe_environment", described)
    return run_tiny(folder, **{"tuning_worth": 0, "optimizers": ["adam", "sgd"], **choices})


def test_machines_differ_in_processor_cores_torch_or_one_accelerator() -> None:
    same = [environment(), {**environment(), "python": "3.13", "memory_gib": 7}, environment(cuda="H200")]
    assert list_machines(enumerate_keys(same)) == ["CPU, 2 cores, H200, torch 2.9.0"]
    for other in (environment(cores=4), environment(torch="2.10.0"), environment(cuda="A100"), {}):
        assert len(list_machines(enumerate_keys([*same, other]))) == 2


def enumerate_keys(environments: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(str(number), one) for number, one in enumerate(environments)]


def test_only_seconds_of_several_machines_are_refused() -> None:
    check_seconds("cost_to_target", ["a", "b"])
    check_seconds("seconds_to_target", ["a"])
    with pytest.raises(UserError, match=r"seconds_to_target cannot be compared between different machines: a; b"):
        check_seconds("seconds_to_target", ["a", "b"])


@pytest.mark.parametrize("first", [{"optimizers": ["adam"]}, {"seeds": 1}], ids=["other cells", "other seeds"])
def test_no_seconds_of_a_directory_that_two_machines_filled(
    first: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cores = tmp_path / "run", os.cpu_count() or 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: cores + 1)
        run_with(patch, folder, **first)
    results = run_with(monkeypatch, folder)
    assert len(results.machines) == 2
    for name in ("runs", "trials", "curves", "cells"):
        frame = getattr(results, name)
        assert frame[[column for column in TIMING_COLUMNS if column in frame]].isna().all(axis=None), name
    assert results.runs["test_metric"].notna().all()
    assert results.warnings[0].startswith("timings are left out because they come from different machines: ")
    for refused in (
        lambda: optbench.compare(folder, metric="seconds_to_target"),
        lambda: optbench.report(folder, rank_by="seconds_to_target"),
        lambda: optbench.recommend(folder, seconds=5),
    ):
        with pytest.raises(UserError, match="cannot be compared between different machines"):
            refused()
    assert "timings are left out" in str(optbench.compare(folder))
    assert "timings are left out" in optbench.recommend(folder).attrs["notes"][0]


def test_another_version_of_pandas_is_the_same_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    run_with(monkeypatch, folder, optimizers=["adam"])
    key, known = next(iter(json.loads((folder / "environment.json").read_bytes()).items()))
    known = unseal(known)
    other = {**known, "key": "other", "packages": {**known["packages"], "pandas": "9.9"}}
    monkeypatch.setattr("optbench.runner.run.describe_environment", lambda devices: other)
    results = run_tiny(folder, tuning_worth=0, optimizers=["adam", "sgd"])
    assert results.cells["environment"].tolist() == [key, "other"]
    assert (len(results.machines), list(results.warnings)) == (1, [])
    assert results.cells["step_ms"].notna().all()


def test_records_name_their_environment_and_two_versions_of_torch_are_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    only = {"optimizers": ["adam"], "tuning_worth": 1}
    run_with(monkeypatch, folder, torch="2.9.0", seeds=1, **only)
    results = run_with(monkeypatch, folder, torch="2.10.0", seeds=2, **only)
    assert set(results.trials["environment"]) == {"2.9.0"}
    by_seed = results.runs.groupby("seed")["environment"].unique().map(list).to_dict()
    assert by_seed == {0: ["2.9.0"], 1: ["2.10.0"]}
    findings = optbench.compare(folder).tables["audit"]
    assert findings.loc[findings["finding"] == "versions", "reason"].unique().tolist() == [
        "it was computed with torch 2.10.0 (seed 1) and torch 2.9.0 (trial 0, seed 0)"
    ]


def test_one_version_of_torch_is_no_finding(tiny_run: optbench.Results) -> None:
    assert set(tiny_run.runs["environment"]) == set(tiny_run.cells["environment"]) != {""}
    findings = optbench.compare(tiny_run.folder).tables["audit"]
    assert "versions" not in findings["finding"].tolist()


def test_a_budget_in_seconds_is_not_continued_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    run_with(monkeypatch, folder, torch="2.9.0", seeds=1, run_budget="0.01seconds")
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    with pytest.raises(UserError, match=r"is in seconds and was measured on another machine \(.*2\.9\.0\).*--fresh"):
        run_with(monkeypatch, folder, torch="2.10.0", seeds=2, run_budget="0.01seconds")
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before
    assert (
        len(run_with(monkeypatch, folder, torch="2.9.0", seeds=2, run_budget="0.01seconds").runs["seed"].unique()) == 2
    )
