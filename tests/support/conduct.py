"""Runs of the command line as processes of their own, to which something happens.

What is done before optbench is imported needs a new process; otherwise a copy of one that has imported it will do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support import forked
from tests.support.tiny import TINY

_HERE = Path(__file__).parent
#: Four cells, of three optimizers that may be faulty and a sound one; trained in a moment. In an order in which
#: their faults cost few workers, which take seconds to start.
CELLS = (
    "--problem", TINY, "--optimizer", f"{_HERE / 'faulty.py'}:Hanging", "--optimizer", "sgd",
    "--optimizer", f"{_HERE / 'faulty.py'}:Hungry", "--optimizer", f"{_HERE / 'dying.py'}:Dying",
    "--batch-size", "10", "--seeds", "2", "--run-budget", "300examples", "--tuning-worth", "3", "--device", "cpu",
)  # fmt: skip
#: The command line without tables, plots and page, which take longer than these trainings. Of its first lines some
#: are replaced by faults.
PROGRAM = """
{before}
from unittest.mock import patch
from pathlib import Path
from optbench import cli
if __name__ == "__main__":
    with (
        patch("optbench.reporting.outputs.write_outputs"),
        patch("optbench.cli.text.leaderboard_text", return_value=""),
        patch("optbench.runner.timing_pass.REPETITION_SECONDS", 1e-4),
    ):
        cli.main()
"""


def command(folder: Path, *more: str, before: str = "", scripts: Path | None = None) -> list[str]:
    """The command that runs `CELLS` in a results directory; `before` is Python that its process executes first."""
    script = (scripts or folder.parent) / f"run{abs(hash(before)) % 10**8}.py"
    script.write_text(PROGRAM.format(before=before))
    return [sys.executable, str(script), "run", *CELLS, "--results", str(folder.parent), "--name", folder.name, *more]


def faults(names: str, hangs: Path) -> dict[str, str]:
    """The environment of a command in whose workers these optimizers are faulty; those that hang make files there."""
    return {**os.environ, "OPTBENCH_TEST_FAULTS": names, "OPTBENCH_TEST_HANGS": str(hangs)}


def ended(arguments: list[str], env: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    """What became of a command."""
    return forked.run(arguments, env=env)
