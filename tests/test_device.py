"""Devices by name, and the switches for the same bits."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from optbench import device
from optbench.device import make_deterministic, resolve, seed_torch, synchronize
from optbench.errors import UserError


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
    assert resolve("auto") == resolve("cpu") == "cpu"


@pytest.mark.usefixtures("two_gpus")
def test_auto_is_the_accelerator_where_there_is_one() -> None:
    assert resolve("auto") == "cuda"
    assert resolve("cuda") == "cuda"
    assert resolve("cuda:1") == "cuda:1"
    assert resolve("cpu") == "cpu"


def test_auto_is_the_cpu_where_torch_cannot_use_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_may_have_accelerator", lambda: True)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert resolve("auto") == "cpu"


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_beyond_the_last_one() -> None:
    with pytest.raises(UserError, match=r"device 'cuda:2' is not on this machine \(accepted here: auto, cpu, cuda"):
        resolve("cuda:2")


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "xpu", "hpu", "mtia:3"])
def test_devices_that_are_not_here(name: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(name)
    assert str(caught.value) == f"device '{name}' is not on this machine (accepted here: auto, cpu)"


@pytest.mark.parametrize("name", ["gpu", "cud", "cuda:", "cuda:x", "CUDA", "cpu:0", "", "meta", "cuda:0\n"])
def test_devices_that_do_not_exist(name: str) -> None:
    with pytest.raises(UserError, match=r"unknown device .*accepted: auto, cpu, cuda, cuda:N, mps, xpu"):
        resolve(name)


def test_deterministic_arithmetic_without_tf32() -> None:
    """In a process of its own: the settings are the whole process's."""
    code = """
import os, torch
from optbench.device import make_deterministic
make_deterministic(2)
print(torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
      torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, os.environ["CUBLAS_WORKSPACE_CONFIG"])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["2", "True", "False", "False", "False", ":4096:8"]


def test_a_cpu_needs_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda *_: pytest.fail("waited"))
    synchronize("cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_real_gpu_is_found_and_waited_for() -> None:
    make_deterministic(1)
    assert resolve("auto") == resolve("cuda") == "cuda"
    with pytest.raises(UserError, match="not on this machine"):
        resolve(f"cuda:{torch.cuda.device_count()}")
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
