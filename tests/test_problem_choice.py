"""What a problem says of itself is looked at before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench.cli import WRONG_USE, _main

PROBLEM = """
from dataclasses import dataclass
from typing import ClassVar
from tests.tiny import Tiny

@dataclass(frozen=True)
class Mine(Tiny):
    name: ClassVar[str] = "mine"
    {line}
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("target = '0.1'", "problem mine has target = '0.1' (accepted: a finite number, or None)"),
        ("target = True", "problem mine has target = True (accepted: a finite number, or None)"),
        ("target = float('nan')", "problem mine has target = nan (accepted: a finite number, or None)"),
        (
            "target = property(lambda self: 1 / 0)",
            "problem mine fails to say its target: ZeroDivisionError: division by zero",
        ),
        ("metric_higher_is_better = 1", "problem mine has metric_higher_is_better = 1 (accepted: True or False)"),
        ("metric_name = None", "problem mine has metric_name = None (accepted: a text)"),
    ],
)
def test_what_is_measured_is_said_wrongly(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PROBLEM.format(line=line))
    options = ("--optimizer", "sgd", "--seeds", "1", "--device", "cpu", "--engine", "serial", "--batch-size", "10")
    assert _main(["run", "--problem", "mine.py:Mine", *options]) == WRONG_USE
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("results/*/cells/*/runs/*"))
