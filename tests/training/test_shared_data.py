"""Data shared with workers: the same bytes without copies, loaded once, gone with the last process."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

import optbench
from optbench.problem.data import Batch, Data
from optbench.training import shared_data as shared
from optbench.training.device_data import Split
from optbench.training.shared_data import SharedMemory
from tests.support.same_results import assert_same_results
from tests.support.tiny import COUNTED, RAISING_DATA, TINY, run_tiny
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory is shared on Linux only"),
]

KEY = ("problem", "{}")


def _data(*splits: Batch) -> Data:
    return Data(*(splits if len(splits) == 3 else splits * 3))


def _random(dtype: torch.dtype, *shape: int) -> Tensor:
    content = np.random.default_rng(math.prod(shape)).integers(0, 2, shape) if dtype == torch.bool else None
    return torch.from_numpy(content).bool() if content is not None else torch.randn(shape).mul(100).to(dtype)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64]
)
def test_what_is_attached_has_the_same_bytes(dtype: torch.dtype) -> None:
    data = _data(*((_random(dtype, n, 3, 5, 4), _random(torch.int64, n)) for n in (7, 1, 12)))
    for channels_last in (False, True):
        with SharedMemory() as memory:
            memory.add(KEY, data, channels_last)
            found = memory.data[KEY].attach()
        for split in ("train", "valid", "test"):
            for ours, theirs in zip(getattr(found, split), getattr(data, split), strict=True):
                assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), channels_last
                assert _bytes(ours) == _bytes(theirs), channels_last


def test_a_split_makes_no_copy_and_gives_the_same_batches() -> None:
    images, classes = torch.randn(20, 3, 4, 4), torch.arange(20)
    with SharedMemory() as memory:
        memory.add(KEY, _data((images, classes)), channels_last=True)
        found = memory.data[KEY].attach()
    split, alone = Split(found.train, "cpu", True), Split((images, classes), "cpu", True)
    assert [t.data_ptr() for t in split._tensors] == [t.data_ptr() for t in found.train]
    index = torch.tensor([3, 0, 19])
    for ours, theirs in zip(split.batch(index), alone.batch(index), strict=True):
        assert ours.stride() == theirs.stride()
        assert torch.equal(ours, theirs)


def test_equal_tensors_are_held_once() -> None:
    """Equal to the last bit: 0 is not -0, and one NaN is like another of the same bits."""
    numbers = torch.tensor([0.0, math.nan, 1.0] * 10_000)
    with SharedMemory() as memory:
        memory.add(("first", ""), _data((numbers,)), channels_last=False)
        memory.add(("second", ""), _data((numbers.clone(),), (-numbers,), (numbers.double(),)), channels_last=False)
        first, second = memory.data["first", ""], memory.data["second", ""]
        assert first.train == first.valid == first.test == second.train
        assert len({second.train, second.valid, second.test}) == 3
        assert _bytes(second.attach().valid[0]) == _bytes(-numbers)
        assert second.length < 5 * first.length


def test_writing_changes_ones_own_copy_alone() -> None:
    with SharedMemory() as memory:
        memory.add(KEY, _data((torch.ones(1000),)), channels_last=False)
        one, other = memory.data[KEY].attach(), memory.data[KEY].attach()
        one.train[0].zero_()
        assert other.train[0].sum() == 1000
        assert memory.data[KEY].attach().train[0].sum() == 1000


@pytest.mark.parametrize(
    "tensor", [torch.ones(3).to_sparse(), torch.empty(0), torch.nn.Parameter(torch.ones(3)), [1.0, 2.0], None]
)
def test_what_is_no_plain_tensor_is_left_to_the_workers(tensor: Tensor) -> None:
    with SharedMemory() as memory:
        memory.add(KEY, _data((tensor,)), channels_last=True)
        assert memory.data == {}


def test_without_room_nothing_is_shared() -> None:
    with patch.object(shared, "available_memory", return_value=10_000), SharedMemory() as memory:
        memory.add(("large", ""), _data((torch.ones(10_000),)), channels_last=False)
        memory.add(("small", ""), _data((torch.ones(1000),)), channels_last=False)
        assert list(memory.data) == [("small", "")]
        assert memory.data["small", ""].attach().test[0].sum() == 1000


def test_what_can_not_be_mapped_is_loaded() -> None:
    with SharedMemory() as memory:
        memory.add(KEY, _data((torch.ones(3),)), channels_last=False)
        with patch.dict(shared._offered):
            memory.for_workers()()
            assert shared.attach_data(KEY) is not None
            memory.close()
            assert shared.attach_data(KEY) is None
    assert shared.attach_data(KEY) is None


@pytest.fixture(scope="module")
def of_one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[optbench.Results]:
    """Computed by one worker process, on data that can be loaded and on others; with a log beside it."""
    folder = tmp_path_factory.mktemp("worker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTBENCH_TEST_LOG", str(folder / "log"))
        yield run_tiny(folder / "run", engine="processes", workers=1, problems=[RAISING_DATA, COUNTED, TINY])


def test_a_run_loads_its_data_once(of_one_worker: optbench.Results) -> None:
    """The process that plans does; no worker."""
    lines = (of_one_worker.directory.folder.parent / "log").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("load")] == [str(os.getpid())]


def test_worker_processes_write_the_results_of_a_serial_run(of_one_worker: optbench.Results, tmp_path: Path) -> None:
    """Of those cells whose data can be loaded."""
    choices = {"problems": [COUNTED, TINY]}
    shutil.copytree(of_one_worker.directory.folder, tmp_path / "workers")
    run_tiny(tmp_path / "workers", **choices)  # computes nothing, and leaves the other cells out
    run_tiny(tmp_path / "serial", **choices)
    assert_same_results(tmp_path / "workers", tmp_path / "serial")


def test_one_worker_times_and_trains(of_one_worker: optbench.Results) -> None:
    """The worker of the timing pass goes on with the cells, so torch is imported once."""
    lines = (of_one_worker.directory.folder.parent / "log").read_text().splitlines()
    trained = {line.split()[1] for line in lines if line.startswith("model")}
    assert len(trained - {str(os.getpid())}) == 1


def test_data_that_can_not_be_loaded_are_rows_of_their_own_cells(of_one_worker: optbench.Results) -> None:
    cells = of_one_worker.cells.set_index("problem")
    assert set(cells.loc["raising_data", "status"]) == {"error"}
    assert set(cells.loc["counted", "status"]) == {"ok"}
    assert cells.loc["raising_data", "error"].str.contains("no such data").all()


COORDINATOR = """
import os, time, torch
from optbench.runner.engines import ProcessEngine
from optbench.problem import Data
from optbench.training.shared_data import SharedMemory
from tests.training.test_shared_data import KEY, attach_and_wait
if __name__ == "__main__":
    memory = SharedMemory()
    split = (torch.arange(1000),)
    memory.add(KEY, Data(split, split, split), channels_last=False)
    engine = ProcessEngine(1, 1, memory.for_workers())
    engine.submit(attach_and_wait, 0).result()
    print(os.fstat(memory._file).st_ino, engine.submit(os.getpid).result(), flush=True)
    engine.submit(attach_and_wait, 600)
    time.sleep(600)
"""


def attach_and_wait(seconds: float) -> None:
    found = shared.attach_data(KEY)
    assert found is not None
    assert found.train[0].sum() == 499_500
    time.sleep(seconds)


@pytest.mark.parametrize("whom", ["coordinator", pytest.param("all", marks=pytest.mark.slow)])
def test_nothing_is_left_of_a_killed_run(whom: str) -> None:
    """Where the coordinator alone is killed, its worker notices and ends, although it is in the middle of a call."""
    process = subprocess.Popen(
        [sys.executable, "-c", COORDINATOR], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    inode, worker = process.stdout.readline().split()
    both = {process.pid, int(worker)}
    wait_until(lambda: _holders(inode) >= both, "both hold the memory", alive=lambda: process.poll() is None)
    if whom == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: not _holders(inode), "the memory is gone, and so is the worker that maps it")


def _holders(inode: str) -> set[int]:
    """Processes that have the nameless file open or mapped: it exists as long as there is one."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = any(link.stat().st_ino == int(inode) for link in (process / "fd").iterdir())
            mapped = any(
                "memfd:optbench" in line and line.split()[4] == inode
                for line in (process / "maps").read_text().splitlines()
            )
        except OSError:
            continue
        if opened or mapped:
            found.add(int(process.name))
    return found
