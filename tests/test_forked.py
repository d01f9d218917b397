"""A copy of a process that has imported optbench behaves as a new process does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import forked
from tests.support.conduct import CELLS
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere both are processes of `subprocess`"),
]

#: Says where and what it is, also to a worker that it starts; its first argument says how it ends.
PROGRAM = """
import multiprocessing, os, signal, sys, threading
import optbench

def told():
    return [__name__, sys.argv, sys.path[0], os.getcwd(), dict(os.environ).get("OPTBENCH_TEST_WORD"),
            len(os.environ), threading.active_count()]

def worker(queue):
    queue.put([told(), multiprocessing.parent_process() is not None])

if __name__ == "__main__":
    print(told(), multiprocessing.parent_process(), sys.stdin.read(), os.getpgid(0) == os.getpid())
    if sys.argv[1] == "worker":
        queue = multiprocessing.get_context("spawn").Queue()
        process = multiprocessing.get_context("spawn").Process(target=worker, args=(queue,))
        process.start()
        print(*queue.get())
        process.join()
    print(optbench.__file__, sys.modules["__main__"].__file__, signal.getsignal(signal.SIGINT))
    print("a warning", file=sys.stderr)
    print(threading.active_count() > 0, flush=True)
    match sys.argv[1]:
        case "code":
            sys.exit(3)
        case "text":
            sys.exit("what went wrong")
        case "error":
            raise LookupError("nothing there")
        case "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        case "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
"""


def new_process(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **options)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "script.py").write_text(PROGRAM)
    return tmp_path / "scripts" / "script.py"


@pytest.mark.parametrize("end", ["worker", "code", "text", "error", "signal", "interrupt"])
def test_a_script_finds_and_leaves_what_it_does_in_a_new_process(end: str, script: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"cwd": tmp_path, "env": {**os.environ, "OPTBENCH_TEST_WORD": "word"}}
    command = [sys.executable, str(script), end, "an argument"]
    copied, new = forked.run(command, **options), new_process(command, **options)
    assert copied.returncode == new.returncode
    assert copied.stdout == new.stdout
    assert "word" in new.stdout
    assert copied.stderr.splitlines()[-1:] == new.stderr.splitlines()[-1:]  # a traceback has other frames


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["plan", *CELLS], ["run", "--sedes", "3"]], ids=["plan", "run"])
def test_a_module_says_what_it_does_in_a_new_process(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "optbench", *arguments]
    copied, new = forked.run(command, cwd=tmp_path), new_process(command, cwd=tmp_path)
    assert (copied.returncode, copied.stdout, copied.stderr) == (new.returncode, new.stdout, new.stderr)
    assert copied.stdout or copied.stderr


def test_a_session_of_its_own_is_killed_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("import os, time\nos.fork()\nos.write(1, b'ready\\n')\ntime.sleep(60)")
    process = forked.start([sys.executable, str(tmp_path / "waits.py")], start_new_session=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.2)
    assert os.getpgid(process.pid) == process.pid
    os.killpg(process.pid, signal.SIGKILL)
    stdout, _ = process.communicate(timeout=PATIENCE)  # nobody is left that could write
    assert process.returncode == process.poll() == -signal.SIGKILL
    assert set(stdout.split()) <= {"ready"}


def test_what_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is over here as soon as it has written down which process it is."""
    (tmp_path / "waits.py").write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)")
    pid = tmp_path / "pid"

    def too_long(self: forked.Forked, timeout: float | None = None) -> None:
        wait_until(lambda: pid.exists() and pid.read_text(), "it says which process it is")
        raise subprocess.TimeoutExpired(self.args, timeout or 0)

    monkeypatch.setattr(forked.Forked, "communicate", too_long)
    with pytest.raises(subprocess.TimeoutExpired):
        forked.run([sys.executable, str(tmp_path / "waits.py")], cwd=tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
