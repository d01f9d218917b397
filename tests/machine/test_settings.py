"""Torch's settings of the whole process are read, put back, and set for a training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from optbench.machine.settings import keep_settings, planned_settings, read_settings, write_settings

CHANGES: dict[str, list[Callable[[], object]]] = {
    "the default dtype": [lambda: torch.set_default_dtype(torch.float64)],
    "the default device": [lambda: torch.set_default_device("meta")],
    "the gradient mode": [lambda: torch.set_grad_enabled(False)],
    "threads": [lambda: torch.set_num_threads(torch.get_num_threads() + 1)],
    "deterministic algorithms": [lambda: torch.use_deterministic_algorithms(True, warn_only=False)],
    "the benchmark of cuDNN": [lambda: setattr(torch.backends.cudnn, "benchmark", True)],
    "oneDNN": [lambda: setattr(torch.backends.mkldnn, "enabled", False)],
    "attention kernels": [lambda: torch.backends.cuda.enable_math_sdp(False)],
    "autocast": [lambda: torch.set_autocast_enabled("cpu", True)],
    "anomaly detection": [lambda: torch.autograd.set_detect_anomaly(True)],
    "denormal numbers": [lambda: torch.set_flush_denormal(True)],
    "the precision of float32 (TF32)": [
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
        lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
        lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    ],
}


@pytest.mark.parametrize(
    ("name", "change"), [(name, change) for name, changes in CHANGES.items() for change in changes]
)
def test_a_changed_setting_is_named_and_put_back(name: str, change: Callable[[], object]) -> None:
    with keep_settings():
        write_settings(planned_settings(1))
        before = read_settings()
        with keep_settings() as changed:
            change()
        assert changed == [name]
        assert read_settings() == before == planned_settings(1)
        # The older functions of torch agree with the newer ones again.
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
        change()
        write_settings(planned_settings(1))
        assert read_settings() == before


def test_what_is_set_for_a_while_is_not_a_change() -> None:
    with keep_settings() as changed:
        with torch.no_grad(), torch.device("meta"), torch.autocast("cpu"), torch.autograd.set_detect_anomaly(True):
            torch.ones(2)
        torch.manual_seed(torch.initial_seed())
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        torch.set_default_dtype(dtype)
    assert changed == []


def test_settings_are_put_back_after_an_error() -> None:
    before = read_settings()

    def fail() -> None:
        torch.set_default_dtype(torch.float64)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), keep_settings():
        fail()
    assert read_settings() == before
