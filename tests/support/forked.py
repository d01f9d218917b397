"""Processes that execute optbench, as `subprocess` starts them, but without the five seconds that its imports take.

On Linux they are copies of a process that has imported everything (`fork_server`), elsewhere those of `subprocess`.
What such a copy can't show needs `subprocess`: what is imported and how long that takes, what is changed before, other
variables PYTHON… of the environment. Worker processes are started as always.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


class Forked:
    """A process of the server, with those methods of `subprocess.Popen` that tests need; its output is text."""

    def __init__(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], start_new_session: bool) -> None:
        self.args, self.returncode = arguments, None
        pipes = [os.pipe(), os.pipe()]
        streams = [f"/proc/{os.getpid()}/fd/{written}" for _, written in pipes]
        program = {"arguments": arguments[1:], "cwd": str(cwd), "env": dict(env), "streams": streams}
        self.pid: int = _ask({**program, "start_new_session": start_new_session})
        for _, written in pipes:
            os.close(written)
        self._texts = ["", ""]
        self._readers = [
            threading.Thread(target=self._read, args=(number, read), daemon=True)
            for number, (read, _) in enumerate(pipes)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, number: int, pipe: int) -> None:
        with open(pipe) as stream:
            self._texts[number] = stream.read()

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = _ask({"pid": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended."""
        end = time.monotonic() + (timeout or float("inf"))
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(0.005)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What was written to stdout and stderr, when all that can write there have ended."""
        end = time.monotonic() + (timeout or float("inf"))
        self.wait(timeout)
        for reader in self._readers:
            reader.join(max(0.0, end - time.monotonic()) if timeout else None)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        stdout, stderr = self._texts
        return stdout, stderr

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


Process: TypeAlias = Forked | subprocess.Popen[str]


def start(
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] = os.environ,
    start_new_session: bool = False,
) -> Process:
    """Starts `python script …` or `python -m module …`; its output is kept for `communicate`."""
    if sys.platform == "linux":
        return Forked(arguments, cwd or Path.cwd(), env, start_new_session)
    piped: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(arguments, cwd=cwd, env=env, start_new_session=start_new_session, text=True, **piped)


def run(
    arguments: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] = os.environ, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """The same until it has ended."""
    process = start(arguments, cwd=cwd, env=env)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return subprocess.CompletedProcess(arguments, process.wait(), stdout, stderr)


@functools.cache
def _server() -> subprocess.Popen[str]:
    """Ends when nobody can ask it any more, that is with this process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.fork_server"],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # threads are not copied
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(server.communicate)
    return server


#: Held between a question and its answer: several threads may ask.
_asking = threading.Lock()


def _ask(question: Mapping[str, Any]) -> Any:
    with _asking:
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(question), file=server.stdin, flush=True)
        return json.loads(server.stdout.readline())
