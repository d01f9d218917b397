"""Becomes programs that import optbench, on demand of `forked`: a copy of this process has imported everything already.

Reads a line of JSON for each demand and answers with one: a program's arguments with its process id, a process id with
its exit code, or null while it runs.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401 as the first optimizer that is made does

import optbench.cli.verbs
import optbench.plots
import optbench.reporting.outputs
import optbench.runner.cell
import optbench.runner.preflight
import optbench.runner.run  # noqa: F401
from optbench.training.construct import _version


def serve() -> dict[str, Any] | None:
    """Answers until a copy of this process returns the program that it has to become, or nobody asks any more."""
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _exit_code(asked["pid"]) if "pid" in asked else _started(asked)
        if answer == 0 and "pid" not in asked:
            return asked
        print(json.dumps(answer), flush=True)
    return None


def _started(program: dict[str, Any]) -> int:
    if program["arguments"][:2] == ["-m", "dask"]:
        _import_dask()
    streams = [os.open(os.devnull, os.O_RDONLY), *(os.open(path, os.O_WRONLY) for path in program["streams"])]
    pid = os.fork()
    for number, stream in enumerate(streams):
        if pid == 0:
            os.dup2(stream, number)
        os.close(stream)
    return pid


def _import_dask() -> None:
    """Once, and only for tests that start a scheduler or workers."""
    for module in ("distributed.cli.dask_scheduler", "distributed.cli.dask_worker", "optbench.runner.dask.worker"):
        importlib.import_module(module)


def _exit_code(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def become(program: dict[str, Any]) -> None:
    """Executes what follows `python` in the arguments: a script or, after -m, a module."""
    if program["start_new_session"]:
        os.setsid()
    os.chdir(program["cwd"])
    os.environ.clear()
    os.environ.update(program["env"])
    sys.stdin = open(0)  # noqa: SIM115
    if program["arguments"][0] == "-m":
        _, module, *arguments = program["arguments"]
        sys.path[0] = program["cwd"]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = program["arguments"]
        sys.path[0] = str(Path(sys.argv[0]).parent)
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _version("torch")  # looks at all files of all packages, and remembers what it found
    gc.freeze()  # what is never collected is never copied
    if program := serve():
        become(program)
