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
from tests.support.conduct import command, ended
from tests.support.same_results import assert_same_results

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, mounts and limits are POSIX's")
SERIAL = ("--engine", "serial")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = ended(command(folder, *SERIAL))
    assert done.returncode == 0, done.stderr
    return folder


#: What a hanging cell is given: a sound one needs a second, and twice that in a worker that has just started.
LIMIT = ("--cell-timeout", "6")
CAUSES = {
    "Hanging": ("timeout", "not done within 6 s"),
    "Hungry": ("oom", "allocate memory"),
    "Dying": ("error", "the worker process died"),
}


def test_faults_of_cells_leave_the_others_alone(undisturbed: Path, tmp_path: Path) -> None:
    """Each is recorded with its cause; the optimizers mended, the same command with --retry-failed ends, for a time
    limit stops none that is in time.
    """
    folder = tmp_path / "run"
    done = ended(command(folder, "--workers", "2", *LIMIT), faulty=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    cells = optbench.load(folder).cells.set_index("optimizer")
    assert dict(cells["status"]) == {"sgd": "ok", **{name: status for name, (status, _) in CAUSES.items()}}
    for name, (_, reason) in CAUSES.items():
        assert reason in cells.loc[name, "error"]
    again = ended(command(folder, "--workers", "1", "--cell-timeout", "100", "--retry-failed"))
    assert again.returncode == 0, again.stderr
    assert_same_results(folder, undisturbed)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--cell-timeout", "0"), "cell timeout = 0.0 is out of range (accepted: seconds above 0)"),
        (("--cell-timeout", "5", *SERIAL), "a cell timeout is for engine 'processes' only"),
    ],
)
def test_time_limits_that_make_no_sense(more: tuple[str, ...], line: str, tmp_path: Path) -> None:
    done = ended(command(tmp_path / "run", *more))
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_ctrl_c_twice_ends_at_once_and_loses_nothing(undisturbed: Path, tmp_path: Path) -> None:
    """The second one comes while the first one is answered."""
    folder = tmp_path / "run"
    process = forked.start(command(folder, "--workers", "2"), start_new_session=True)
    _wait_for_a_trial(folder, process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    started = time.monotonic()
    process.wait(20)
    assert time.monotonic() - started < 10
    assert process.returncode in (130, -signal.SIGINT)
    assert _children_are_gone(process.pid)
    done = ended(command(folder, *SERIAL))
    assert done.returncode == 0, done.stderr
    assert_same_results(folder, undisturbed)


def test_a_second_run_in_one_directory_is_refused_and_the_first_one_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = forked.start(command(folder, *SERIAL))
    _wait_for_a_trial(folder, first)
    first.send_signal(signal.SIGSTOP)
    second = ended(command(folder, *SERIAL))
    first.send_signal(signal.SIGCONT)
    _, stderr = first.communicate(timeout=60)
    assert second.returncode == 2
    assert second.stderr == f"optbench: another run is filling {folder}; wait for it, or choose another --name\n"
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
    start = command(folder, *SERIAL, before=JUMPING_CLOCK)
    done = subprocess.run(start, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert_same_results(folder, undisturbed)
    assert (optbench.load(folder).cells["step_ms"] > 0).all()
    assert (optbench.load(folder).runs["train_seconds"] < 60).all()


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
    "pages", [pytest.param(16, marks=pytest.mark.slow), 40, pytest.param(90, marks=pytest.mark.slow)]
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
        before = _records(disk / "run")
        again = ended(command(disk / "run", *SERIAL, scripts=tmp_path))
        assert again.returncode == 0, again.stderr
        assert_same_results(disk / "run", undisturbed)
        assert before.items() <= _records(disk / "run").items(), "what was written is computed again"


def test_a_disk_that_may_only_be_read(undisturbed: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with _mounted(disk, "16m"):
        process = forked.start(command(disk / "run", "--workers", "1", scripts=tmp_path))
        _wait_for_a_trial(disk / "run", process)
        _remount_when_it_can_be(disk, process)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 2, stderr
        assert "Read-only file system" in stderr.splitlines()[-1]
        assert "Traceback" not in stderr
        refused = ended(command(disk / "run", *SERIAL, scripts=tmp_path))
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert "can't be written" in refused.stderr
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


def _wait_for_a_trial(folder: Path, process: forked.Process) -> None:
    end = time.monotonic() + 60
    while not any(path.stat().st_size for path in folder.glob("cells/*/trials.jsonl")):
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < end
        time.sleep(0.01)


def _children_are_gone(group: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def _records(folder: Path) -> dict[str, bytes]:
    """The finished runs."""
    return {path.name + path.parent.parent.name: path.read_bytes() for path in folder.glob("cells/*/runs/*.json")}
