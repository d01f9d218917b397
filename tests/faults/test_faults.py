"""What can happen to a run, with real processes: each time what was finished stays, the rest is resumed, and the
frames are those of an undisturbed run, bit by bit.

Kills at any moment are in `test_resume`, damaged records in `test_damage`, lost dask workers in `scale`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import optbench
from tests.support import forked
from tests.support.conduct import command, ended, faults
from tests.support.same_results import assert_same_results
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(os.name != "posix", reason="signals, mounts and limits are POSIX's"),
]
SERIAL = ("--engine", "serial")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = ended(command(folder, *SERIAL))
    assert done.returncode == 0, done.stderr
    return folder


CAUSES = {
    "Hanging": ("timeout", "not done within 1000 s"),
    "Hungry": ("oom", "allocate memory"),
    "Dying": ("error", "the worker process died (exit code 7)"),
}
#: The clock of time limits. When an optimizer hangs, it goes on by an hour at each of the next two readings: if the
#: first one is that of a cell's begin, the second one finds it late.
LATER = """
import time, types
from pathlib import Path
import optbench.runner.window
hours = 0
def later():
    global hours
    hours = min(hours + 1, 2 * len(list(Path({hangs!r}).glob("hangs-*"))))
    return time.monotonic() + 3600 * hours
optbench.runner.window.time = types.SimpleNamespace(monotonic=later, sleep=time.sleep)
"""


def test_faults_of_cells_leave_the_others_alone(undisturbed: Path, tmp_path: Path) -> None:
    """Each is recorded with its cause; the optimizers mended, the same command with --retry-failed ends."""
    folder = tmp_path / "run"
    before = LATER.format(hangs=str(tmp_path))
    faulty = command(folder, "--workers", "1", "--cell-timeout", "1000", before=before)
    done = ended(faulty, faults(" ".join(CAUSES), tmp_path))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    cells = optbench.load(folder).cells.set_index("optimizer")
    assert dict(cells["status"]) == {"sgd": "ok", **{name: status for name, (status, _) in CAUSES.items()}}
    for name, (_, reason) in CAUSES.items():
        assert reason in cells.loc[name, "error"]
    failed = optbench.load(folder).runs.query("optimizer != 'sgd'")
    assert failed["error"].str.len().gt(0).all()
    assert failed["test_metric"].isna().all()
    again = ended(command(folder, *SERIAL, "--retry-failed"))
    assert again.returncode == 0, again.stderr
    assert_same_results(folder, undisturbed)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--cell-timeout", "0"), "cell timeout = 0.0 is out of range (accepted: seconds above 0)"),
        (("--cell-timeout", "5", *SERIAL), "a cell timeout requires engine 'processes'"),
    ],
)
def test_time_limits_that_make_no_sense(more: tuple[str, ...], line: str, tmp_path: Path) -> None:
    done = ended(command(tmp_path / "run", *more))
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_exits_with_130(tmp_path: Path) -> None:
    """Ctrl-C reaches all of its processes, also one that is just starting."""
    process = forked.start(
        command(tmp_path / "run", "--workers", "2"), env=faults("Hanging", tmp_path), start_new_session=True
    )
    _wait_until_it_hangs(tmp_path, process)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    _says_that_it_was_interrupted(process.wait(), stderr)
    assert len(optbench.load(tmp_path / "run").trials) > 0


#: Sends the process a signal when it has recorded a trial.
SIGNALLED = """
import os
from optbench.results.store import CellStore
append = CellStore.append_trial
def append_and_send(*arguments):
    CellStore.append_trial = append
    append(*arguments)
    os.kill(os.getpid(), {number:d})
CellStore.append_trial = append_and_send
"""


def test_a_terminated_run_exits_with_130(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = ended(command(folder, *SERIAL, before=SIGNALLED.format(number=signal.SIGTERM)))
    _says_that_it_was_interrupted(done.returncode, done.stderr)
    assert len(optbench.load(folder).trials) == 1
    assert ended(command(folder, *SERIAL)).returncode == 0
    assert_same_results(folder, undisturbed)


#: Sends the process a signal in the checks before the start, while the process of which workers are copies imports.
SIGNALLED_BEFORE = """
import os
import optbench.runner.run
def send(*arguments):
    os.kill(os.getpid(), {number:d})
optbench.runner.run.check_data = send
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_terminated_before_its_first_training_leaves_nothing(number: int, tmp_path: Path) -> None:
    """Its output is closed as soon as it has ended: `ended` waits for that."""
    folder, temporary = tmp_path / "run", tmp_path / "t"
    temporary.mkdir()
    arguments = command(folder, "--workers", "1", before=SIGNALLED_BEFORE.format(number=number))
    done = ended(arguments, {**os.environ, "TMPDIR": str(temporary)})
    _says_that_it_was_interrupted(done.returncode, done.stderr)
    assert len(done.stderr.split("\n")) == 3, "one line after that of Ctrl-C"
    assert list(temporary.iterdir()) == []
    assert not folder.exists()


def _says_that_it_was_interrupted(code: int, stderr: str) -> None:
    assert code == 130
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1] == "optbench: interrupted; the same command resumes"


def test_ctrl_c_twice_ends_at_once_and_loses_nothing(undisturbed: Path, tmp_path: Path) -> None:
    """The second one comes while the first one is answered; what a worker does then would never end."""
    folder = tmp_path / "run"
    process = forked.start(command(folder, "--workers", "1"), env=faults("Hanging", tmp_path), start_new_session=True)
    _wait_until_it_hangs(tmp_path, process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) in (130, -signal.SIGINT)
    wait_until(lambda: _is_gone(process.pid), "its workers end")
    before = _records(folder, "trials.jsonl")
    assert any(before.values())
    done = ended(command(folder, *SERIAL))
    assert done.returncode == 0, done.stderr
    assert_same_results(folder, undisturbed)
    assert all(_records(folder, "trials.jsonl")[name].startswith(trials) for name, trials in before.items())


def test_a_second_run_in_one_directory_is_refused_and_the_first_one_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = forked.start(command(folder, *SERIAL, before=SIGNALLED.format(number=signal.SIGSTOP)))
    wait_until(
        lambda: any(_records(folder, "trials.jsonl").values()), "a trial is done", alive=lambda: first.poll() is None
    )
    second = ended(command(folder, *SERIAL))
    wait_until(lambda: _is_stopped(first.pid), "the first one stops")
    first.send_signal(signal.SIGCONT)
    _, stderr = first.communicate(timeout=PATIENCE)
    assert second.returncode == 2
    assert second.stderr == f"optbench: another run is using {folder}; wait until it ends or choose another --name\n"
    assert first.returncode == 0, stderr
    assert_same_results(folder, undisturbed)


#: Each reading of the clock is hours away from the one before, in either direction; that of intervals is right.
JUMPING_CLOCK = """
import random, time
_real, _random = time.time, random.Random(0)
time.time = lambda: _real() + _random.uniform(-1e6, 1e6)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def test_a_clock_that_jumps_changes_nothing(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    started = time.monotonic()
    done = ended(command(folder, *SERIAL, before=JUMPING_CLOCK))
    elapsed = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert_same_results(folder, undisturbed)
    assert (optbench.load(folder).cells["step_ms"] > 0).all()
    assert optbench.load(folder).runs["train_seconds"].between(0, elapsed, inclusive="right").all()


@contextmanager
def _mounted(folder: Path, size: str) -> Iterator[None]:
    """A disk of this size on a folder."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("this user may not mount a disk of a given size")
    try:
        yield
    finally:
        while folder.is_mount():  # also what was mounted on top of it
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True, capture_output=True)


@pytest.mark.parametrize(
    "pages", [pytest.param(16, marks=pytest.mark.slow), 40, pytest.param(75, marks=pytest.mark.slow)]
)
def test_a_disk_that_is_full(pages: int, undisturbed: Path, tmp_path: Path) -> None:
    """One line says so; with more room the same command goes on from what is there."""
    disk = tmp_path / "disk"
    with _mounted(disk, f"{4 * pages}k"):
        done = ended(command(disk / "run", *SERIAL, scripts=tmp_path))
        assert done.returncode == 2, done.stderr
        assert "No space left on device" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        _remount(disk, "size=16m")
        before = _records(disk / "run", "runs/*.json")
        again = ended(command(disk / "run", *SERIAL, scripts=tmp_path))
        assert again.returncode == 0, again.stderr
        assert_same_results(disk / "run", undisturbed)
        assert before.items() <= _records(disk / "run", "runs/*.json").items(), "what was written is computed again"


def test_a_disk_that_may_only_be_read(undisturbed: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with _mounted(disk, "16m"):
        start = command(disk / "run", "--workers", "1", scripts=tmp_path)
        process = forked.start(start, env=faults("Hanging", tmp_path))
        hangs = _wait_until_it_hangs(tmp_path, process)
        _remount_when_it_can_be(disk, process)
        hangs.unlink()
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2, stderr
        assert "Read-only file system" in stderr.splitlines()[-1]
        assert "Traceback" not in stderr
        refused = ended(command(disk / "run", *SERIAL, scripts=tmp_path))
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert "cannot write" in refused.stderr
        _remount(disk, "rw")
        again = ended(command(disk / "run", *SERIAL, scripts=tmp_path))
        assert again.returncode == 0, again.stderr
        assert_same_results(disk / "run", undisturbed)


def _remount_when_it_can_be(disk: Path, process: forked.Process) -> None:
    """Read-only, as soon as no file is open for writing but the lock, which is in the way for good."""
    done = subprocess.run(["mount", "--bind", "-o", "ro", str(disk), str(disk)], capture_output=True)
    if done.returncode:
        process.kill()
        pytest.skip("this user may not mount a folder read-only")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(disk)], check=True)


def _wait_until_it_hangs(folder: Path, process: forked.Process) -> Path:
    """Until an optimizer hangs in its second trial; returns the file that keeps it from going on."""
    wait_until(lambda: [*folder.glob("hangs-*")], "an optimizer hangs", alive=lambda: process.poll() is None)
    (hangs,) = folder.glob("hangs-*")
    return hangs


def _is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def _is_stopped(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return state.startswith("T")


def _records(folder: Path, pattern: str) -> dict[str, bytes]:
    """The content of such files of all cells."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob(f"cells/*/{pattern}")}
