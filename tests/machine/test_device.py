"""Devices by name, and the switches for the same bits."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from optbench.errors import UserError
from optbench.machine import device
from optbench.machine.device import make_deterministic, resolve_device, seed_torch, synchronize


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_may_have_accelerator", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which torch finds two CUDA devices."""
    monkeypatch.setattr(device, "_may_have_accelerator", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))


@pytest.mark.usefixtures("no_accelerator")
def test_auto_is_the_cpu_where_there_is_nothing_else() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"


@pytest.mark.usefixtures("two_gpus")
def test_auto_is_the_accelerator_where_there_is_one() -> None:
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cuda") == "cuda"
    assert resolve_device("cuda:1") == "cuda:1"
    assert resolve_device("cpu") == "cpu"


def test_auto_is_the_cpu_where_torch_cannot_use_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_may_have_accelerator", lambda: True)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_beyond_the_last_one() -> None:
    with pytest.raises(UserError, match=r"device 'cuda:2' is not available on this machine \(accepted: auto, cpu, c"):
        resolve_device("cuda:2")


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "xpu", "hpu", "mtia:3"])
def test_devices_that_are_not_here(name: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_device(name)
    assert str(caught.value) == f"device '{name}' is not available on this machine (accepted: auto, cpu)"


@pytest.mark.parametrize("name", ["gpu", "cud", "cuda:", "cuda:x", "CUDA", "cpu:0", "", "meta", "cuda:0\n"])
def test_devices_that_do_not_exist(name: str) -> None:
    with pytest.raises(UserError, match=r"unknown device .*accepted: auto, cpu, cuda, cuda:N, mps, xpu"):
        resolve_device(name)


@pytest.fixture
def other_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The opposite of what `make_deterministic` sets; the settings of this process are restored afterwards."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # which restores it
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    switches = [(torch.utils.deterministic, "fill_uninitialized_memory"), (torch.backends.cudnn, "benchmark"),
                (torch.backends.cudnn, "allow_tf32"), (torch.backends.cuda.matmul, "allow_tf32")]  # fmt: skip
    before = [getattr(owner, name) for owner, name in switches]
    for owner, name in switches:
        setattr(owner, name, True)
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(1)
    yield
    for (owner, name), value in zip(switches, before, strict=True):
        setattr(owner, name, value)
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("other_settings")
def test_deterministic_arithmetic_without_tf32() -> None:
    make_deterministic(2)
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_cpu_needs_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda *_: pytest.fail("waited"))
    synchronize("cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_real_gpu_is_found_and_waited_for() -> None:
    make_deterministic(1)
    assert resolve_device("auto") == resolve_device("cuda") == "cuda"
    with pytest.raises(UserError, match="not on this machine"):
        resolve_device(f"cuda:{torch.cuda.device_count()}")
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    matrix = torch.ones(2000, 2000, device="cuda")
    started.record()
    for _ in range(20):
        matrix = matrix @ matrix / 2000
    ended.record()
    synchronize("cuda")
    assert ended.query()


def test_the_seed_of_the_cpu_is_torchs() -> None:
    for number in (0, 2**62 + 3):
        torch.manual_seed(number)
        expected = torch.rand(5), torch.randperm(9)
        seed_torch(number, "cpu")
        assert torch.equal(torch.rand(5), expected[0])
        assert torch.equal(torch.randperm(9), expected[1])
