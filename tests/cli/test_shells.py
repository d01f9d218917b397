"""Completion where it is used: in an interactive bash, zsh and fish, by the key."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.processes

#: How each shell is started without anybody's settings, and takes the script.
SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(optbench completion bash)"'),
    "zsh": (["-f", "-i"], 'autoload -Uz compinit; compinit -u -D; eval "$(optbench completion zsh)"'),
    "fish": (["--no-config", "-i"], "optbench completion fish | source"),
}
#: Completes as optbench does; anything else that is run shows its words.
_COMMAND = """#!/bin/sh
if [ -n "$_OPTBENCH_COMPLETE" ] || [ "$1" = completion ]; then exec "{python}" -m optbench "$@"; fi
echo "words: $*."
"""


class Shell:
    """A shell on a terminal of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        options, setup = SHELLS[name]
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ.update(PATH=f"{folder}/bin:{os.environ['PATH']}", TERM="dumb", HOME=str(folder), PS1="$ ")
            os.execvp(name, [name, *options])
        self.run(f"{setup}; optbench ready")

    def run(self, keys: str) -> str:
        """The words of the command that some keys and Enter run."""
        os.write(self._terminal, f"{keys}\n".encode())
        shown, deadline = "", time.monotonic() + PATIENCE
        while not (found := re.search(r"words: (.*?) ?\.\r", shown)):
            assert time.monotonic() < deadline, shown
            if select.select([self._terminal], [], [], 0.1)[0]:
                shown += os.read(self._terminal, 65536).decode(errors="replace")
        return found[1]

    def close(self) -> None:
        os.close(self._terminal)
        os.waitpid(self.pid, 0)


@pytest.fixture(params=SHELLS, scope="module")
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Each shell that is installed, in a folder with a results directory and a file."""
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param} here")
    folder = tmp_path_factory.mktemp(request.param)
    command = folder / "bin" / "optbench"
    command.parent.mkdir()
    command.write_text(_COMMAND.format(python=sys.executable))
    command.chmod(0o755)
    (folder / "results" / "one").mkdir(parents=True)
    (folder / "results" / "one" / "format.json").touch()
    (folder / "my_opt.py").touch()
    started = Shell(request.param, folder)
    yield started
    started.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("optbench recomm", "optbench recommend"),
        ("optbench run --pres", "optbench run --preset"),
        ("optbench run --preset s", "optbench run --preset standard"),
        ("optbench run --preset=s", "optbench run --preset=standard"),
        ("optbench plan --problem quadratic_v", "optbench plan --problem quadratic_valley"),
        ("optbench run --optimizer my_", "optbench run --optimizer my_opt.py"),
        ("optbench status o", "optbench status one"),
        ("optbench compare ref", "optbench compare reference"),
        ("optbench list opt", "optbench list optimizers"),
        ("optbench timing rec", "optbench timing record"),
    ],
)
def test_tab_completes(shell: Shell, typed: str, completed: str) -> None:
    assert shell.run(f"{typed}\t") == completed.removeprefix("optbench ")
