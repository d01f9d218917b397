"""Before a run, a line for each optimizer of one's own whose results would mean nothing, and none for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import optbench
from optbench.config.schema import Config
from optbench.conformance.doubts import find_doubts
from optbench.runner.progress import LineProgress, SilentProgress
from tests.support import broken
from tests.support.tiny import TINY, run_tiny

_FILE = broken.__file__


def config(*optimizers: str, **tables: object) -> Config:
    return Config.model_validate({"problems": [TINY], "optimizers": optimizers, "optimizer": tables})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("IgnoresRate", "at a learning rate of 0, so it ignores param_groups"),
        ("KeepsRate", "a learning rate that is set after the construction has no effect"),
        ("Leaking", "state leaks between instances"),
        ("Forgetful", "parameters with a gradient that did not move in 100 steps"),
        ("Setting", "a step changes threads"),
        ("Drifting", "changes a parameter without a gradient"),
    ],
)
def test_a_grave_mistake_is_a_line_with_its_reason(name: str, reason: str) -> None:
    [line] = find_doubts(config(f"{_FILE}:{name}[momentum=[0.1,0.2]]", "adam"))
    assert line.startswith(f"warning: {_FILE}:{name}: ")
    assert reason in line
    assert line.endswith(f"(details: `optbench check {_FILE}:{name}`)")


def test_a_table_is_doubted_as_it_is_described() -> None:
    [line] = find_doubts(config("mine", mine={"class": f"{_FILE}:IgnoresRate"}))
    assert line.startswith("warning: mine: moves by up to ")
    assert "`optbench check mine --config FILE`" in line


def test_what_is_right_registered_or_made_for_other_parameters_is_not_doubted() -> None:
    table = {"base": "adam", "groups": {"own": {"parameters": ["no.such.name"]}}}
    right = [f"{_FILE}:{name}" for name in ("Plain", "Forgetting", "NeedsGradients", "InTurn", "Rounding")]
    assert find_doubts(config(*right, "rprop", "torch.optim:Muon", "mine", mine=table)) == []


@pytest.mark.parametrize("progress", [LineProgress(), SilentProgress()])
def test_a_run_says_so_where_it_is_read(
    progress: SilentProgress, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_tiny(tmp_path / "run", optimizers=[f"{_FILE}:IgnoresRate"], tuning_worth=0, seeds=1, progress=progress)
    lines = capsys.readouterr().err.splitlines()
    assert bool(lines) == progress.visible
    if lines:
        assert lines[0].startswith(f"warning: {_FILE}:IgnoresRate: moves")


class OwnSchedule(torch.optim.SGD):
    """Sets its rate itself from that of its constructor: tuning works, and a schedule of the run does not."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.base = lr

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        for group in self.param_groups:
            group["lr"] = self.base
        return super().step(closure)


class FixedRate(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=0.05)

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        for group in self.param_groups:
            group["lr"] = 0.05
        return super().step(closure)


@pytest.mark.parametrize(
    ("name", "effect"), [("OwnSchedule", "a schedule has no effect"), ("FixedRate", "tuning would only compare noise")]
)
def test_what_an_ignored_rate_means_is_said(name: str, effect: str) -> None:
    [finding] = optbench.check(f"{__file__}:{name}", only=["zero_rate"])
    assert finding.outcome == "failed"
    assert finding.reason.endswith(effect)
