"""The suite itself: a test that crashes its process or never ends is named, and the suite ends."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[1]

PLANTED = {
    "crashing": """
import ctypes

def test_before(): pass

def test_crashes():
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    place = library.malloc(64)
    library.free(place)
    library.free(place)

def test_never_reached(): pass
""",
    "endless": """
import hashlib, time

def test_endless_in_python():
    while True:
        time.sleep(0.01)

def test_after_it(): pass

def test_endless_in_a_library(): hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
""",
}


def suite_of(kind: str, folder: Path, *options: str) -> str:
    """What pytest prints of a planted file, run as `make test` does, with the project's options."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "conftest.py").write_text("from tests.support.unfinished import *  # noqa: F403\n")
    (folder / "test_planted.py").write_text(PLANTED[kind])
    parallel = re.search(r"^PARALLEL := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert parallel
    command = [sys.executable, "-m", "pytest", "test_planted.py", *parallel[1].split(), *options]
    # Its test processes are not those of this suite.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="frees memory twice, as the C library of Linux notices it")
def test_a_crash_keeps_its_last_words_names_its_test_and_what_was_not_run(tmp_path: Path) -> None:
    printed = suite_of("crashing", tmp_path)
    assert "double free" in printed
    assert "Fatal Python error: Aborted" in printed
    assert "crashed while running 'test_planted.py::test_crashes'" in printed
    assert "1 tests were not run, as a test process ended before" in printed
    assert "\ntest_planted.py::test_never_reached" in printed
    assert "1 failed, 1 passed" in printed


@pytest.mark.processes
def test_a_test_that_never_ends_is_stopped_and_named(tmp_path: Path) -> None:
    printed = suite_of("endless", tmp_path, "-o", "timeout=1", "-o", "faulthandler_timeout=3")
    assert "FAILED test_planted.py::test_endless_in_python - Failed: Timeout (>1.0s)" in printed
    assert "in test_endless_in_a_library" in printed  # its stack
    assert "crashed while running 'test_planted.py::test_endless_in_a_library'" in printed
    assert "2 failed, 1 passed" in printed


def test_no_test_compares_a_time_with_a_number() -> None:
    """A clock may be read to wait for something (`support.waiting`) or to be printed, and decides nothing."""
    clocks = {"perf_counter", "monotonic", "process_time", "time", "perf_counter_ns", "getrusage", "times"}
    allowed = {
        "tests/support/waiting.py": "a net for what never happens",
        "tests/support/forked.py": "the timeout of subprocess",
        "tests/support/suite_of_three.py": "is as long as it says",
        "tests/support/sittings.py": "measures the benchmark command itself",
        "tests/support/large.py": "prints what tables take",
        "tests/reporting/test_size.py": "prints what a page takes",
        "tests/faults/test_faults.py": "the true time of a process whose own clock jumps",
        "tests/cli/test_shells.py": "a net for what never happens",
    }
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)) or name in allowed:
                continue
            if node.attr in clocks and node.value.id in ("time", "os", "resource"):
                found.append(f"{name}:{node.lineno}: {node.value.id}.{node.attr}")
    assert found == []
