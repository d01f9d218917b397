"""Visits: runs of a suite of benchmarks, each in its own process, as pytest-benchmark records them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.errors import UserError

#: The exit code of pytest if it collects no test.
_NOTHING = 5


def visit(
    suite: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    select: Sequence[str] = (),
    expression: str = "",
) -> dict[str, Any]:
    """Runs the benchmarks of a suite in a new process and returns pytest-benchmark's document.

    The project's pytest options are ignored, because they may disable benchmarks.

    Args:
        suite: The file or folder of the tests.
        folder: The working directory; by default the current one.
        environment: Additional environment variables.
        select: Node ids of the tests to run; all if empty.
        expression: pytest's `-k`.

    Raises:
        UserError: A test failed, or there is none.
    """
    # The path of the suite stays relative, so that tests have the same names in every folder.
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "visit.json"
        chosen = list(select) or [str(suite)]
        command = [
            sys.executable, "-m", "pytest", *chosen, "-q", "--no-header", "-o", "addopts=", "-p", "no:cacheprovider",
            "--benchmark-enable", "--benchmark-only", "--benchmark-quiet", f"--benchmark-json={file}",
            "--benchmark-columns=median", *(["-k", expression] if expression else []),
        ]  # fmt: skip
        # Benchmarks would be disabled inside a worker of pytest-xdist.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
        done = subprocess.run(
            command, cwd=folder, env={**ours, **(environment or {})}, capture_output=True, text=True, check=False
        )
        if done.returncode == _NOTHING or (done.returncode == 0 and not file.exists()):
            raise UserError(f"there is no benchmark in {suite}{f' that matches {expression!r}' if expression else ''}")
        if done.returncode:
            raise UserError(f"the benchmarks of {suite} failed: {_reason(done)}")
        document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return document


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The most informative line of the output."""
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    for start in ("optbench:", "E  ", "FAILED", "ERROR"):
        if matches := [line.removeprefix("E  ").strip() for line in lines if line.startswith(start)]:
            return matches[0]
    return lines[-1] if lines else f"pytest ended with {done.returncode}"
