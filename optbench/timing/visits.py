"""Visits: one run of a suite of benchmarks in a process of its own, as pytest-benchmark writes it down."""

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

#: pytest's code where it finds no test.
_NOTHING = 5


def visit(
    suite: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    select: Sequence[str] = (),
    expression: str = "",
) -> dict[str, Any]:
    """Runs the benchmarks of a suite (in `folder`, where given) and returns pytest-benchmark's document.

    `select` names tests by node id, `expression` is pytest's `-k`. The project's own options don't apply: they may
    disable benchmarks. Raises UserError where a test fails, or there is none.
    """
    # The suite's path stays relative, for names of tests to be the same in every folder.
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "visit.json"
        chosen = list(select) or [str(suite)]
        command = [
            sys.executable, "-m", "pytest", *chosen, "-q", "--no-header", "-o", "addopts=", "-p", "no:cacheprovider",
            "--benchmark-enable", "--benchmark-only", "--benchmark-quiet", f"--benchmark-json={file}",
            "--benchmark-columns=median", *(["-k", expression] if expression else []),
        ]  # fmt: skip
        # Within a worker of pytest-xdist benchmarks would be disabled.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
        done = subprocess.run(
            command, cwd=folder, env={**ours, **(environment or {})}, capture_output=True, text=True, check=False
        )
        if done.returncode == _NOTHING or (done.returncode == 0 and not file.exists()):
            raise UserError(
                f"there is no benchmark in {suite}{f' of which {expression!r} is true' if expression else ''}"
            )
        if done.returncode:
            raise UserError(f"the benchmarks of {suite} failed: {_reason(done)}")
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The line that says most."""
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    for start in ("optbench:", "E  ", "FAILED", "ERROR"):
        if found := [line.removeprefix("E  ").strip() for line in lines if line.startswith(start)]:
            return found[0]
    return lines[-1] if lines else f"pytest ended with {done.returncode}"
