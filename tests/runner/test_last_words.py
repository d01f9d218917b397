"""How a worker ended is named, and its last words are kept."""

from __future__ import annotations

import os
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

from optbench.runner.last_words import LostWorker, StderrTap, describe_loss, tapped

LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


@pytest.mark.parametrize(
    ("error", "attempts", "line"),
    [
        (LostWorker("", -6, "free(): invalid pointer\n"), 1, "(SIGABRT): free(): invalid pointer"),
        (LostWorker("", -11), 3, "(SIGSEGV, 3 times)"),
        (LostWorker("", -9), 1, "(SIGKILL: killed, or out of memory)"),
        (LostWorker("", -40, "a\n\n b\nc\nd"), 1, "(signal 40): b | c | d"),
        (LostWorker("", 3), 2, "(exit code 3, 2 times)"),
        (LostWorker("", 0), 1, "(exit code 0)"),
        (LostWorker(""), 1, "(killed, or out of memory)"),
        (BrokenExecutor("gone"), 2, "(killed, or out of memory, 2 times)"),
    ],
)
def test_an_end_is_one_line(error: BrokenExecutor, attempts: int, line: str) -> None:
    assert describe_loss(error, attempts) == f"the worker process died {line}"


def test_long_words_are_cut_at_their_beginning() -> None:
    line = describe_loss(LostWorker("", -6, "x" * 1000 + "end"))
    assert line.endswith("xend")
    assert len(line) < 400


@LINUX
def test_words_are_passed_on_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    tap = StderrTap()
    with tapped(tap.path):
        print("to a file", file=sys.__stderr__, flush=True)
        os.write(2, b"from a library\n" + 5000 * b"." + b"\xff\nat last\n")
    os.write(2, b"after it\n")
    kept = tap.close()
    assert kept.endswith("\nat last\n")
    assert "to a file" not in kept, "only the end"
    assert "after it" not in kept
    passed_on = capfd.readouterr().err
    assert "from a library" in passed_on
    assert "at last" in passed_on
    assert "after it" in passed_on


@pytest.mark.parametrize("path", ["", "/nowhere/1"])
def test_without_a_tap_words_go_where_they_went(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    with tapped(path):
        os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"


@LINUX
def test_taps_leave_no_open_files() -> None:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(3):
        tap = StderrTap()
        with tapped(tap.path):
            pass
        assert tap.close() == ""
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
