"""Torch's settings of the whole process on which trainings depend."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, reduce
from typing import Any, NamedTuple

#: Where torch keeps the precision of products and convolutions of float32 numbers.
_PRECISIONS = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")


class _Setting(NamedTuple):
    read: Callable[[], Any]
    write: Callable[[Any], object]
    #: The value that trainings need; None if it depends on the cell.
    planned: Any


def read_settings() -> dict[str, Any]:
    """Return the values of all settings by name. Imports torch."""
    return {name: setting.read() for name, setting in _settings().items()}


def write_settings(values: Mapping[str, Any]) -> None:
    """Set the settings that differ from the given values."""
    for name, setting in _settings().items():
        if name in values and setting.read() != values[name]:
            setting.write(values[name])


def planned_settings(threads: int) -> dict[str, Any]:
    """Return the values that a training on this number of CPU threads needs."""
    return {name: threads if name == "threads" else setting.planned for name, setting in _settings().items()}


@contextmanager
def keep_settings() -> Iterator[list[str]]:
    """A context that puts changed settings back at its end.

    Yields:
        A list that contains the names of the changed settings after the end of the context.
    """
    changed: list[str] = []
    before = read_settings()
    try:
        yield changed
    finally:
        after = read_settings()
        changed += [name for name in before if before[name] != after[name]]
        write_settings(before)


def torch_is_loaded() -> bool:
    """Whether this process has imported torch."""
    return "torch" in sys.modules


@cache
def _settings() -> dict[str, _Setting]:
    import torch
    from torch.backends import cuda, cudnn, mkldnn

    def backend(name: str) -> Any:
        return reduce(getattr, name.split("."), torch.backends)

    def read_precision() -> tuple[str, ...]:
        try:
            products = torch.get_float32_matmul_precision()
        except RuntimeError:  # it was set by the newer functions alone
            products = "highest"
        # A part without a value of its own has that of the whole.
        whole = str(torch.backends.fp32_precision)  # type: ignore[attr-defined]
        return (products, _full(whole), *(_full(str(backend(name).fp32_precision)) for name in _PRECISIONS))

    def write_precision(values: tuple[str, ...]) -> None:
        products, whole, *parts = values
        torch.backends.fp32_precision = "none" if whole == "ieee" else whole  # type: ignore[attr-defined]
        for name in _PRECISIONS:
            backend(name).fp32_precision = "ieee"
        # The older functions fail if their values contradict those of the newer ones, so they come first.
        torch.set_float32_matmul_precision(products)
        cudnn.allow_tf32 = "tf32" in parts[1:3]
        for name, value in zip(_PRECISIONS, parts, strict=True):
            if _full(str(backend(name).fp32_precision)) != value:
                backend(name).fp32_precision = value

    def write_deterministic(value: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(value[0], warn_only=value[1])

    def write_attention(values: tuple[bool, ...]) -> None:
        cuda.enable_flash_sdp(values[0])
        cuda.enable_mem_efficient_sdp(values[1])
        cuda.enable_math_sdp(values[2])

    def write_autocast(values: tuple[bool, ...]) -> None:
        for device, value in zip(("cpu", "cuda"), values, strict=True):
            torch.set_autocast_enabled(device, value)

    def attribute(owner: object, name: str, planned: Any) -> _Setting:
        return _Setting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value), planned)

    memory = torch.utils.deterministic
    return {
        "the default dtype": _Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        "the default device": _Setting(
            lambda: str(torch.get_default_device()),
            lambda value: torch.set_default_device(None if value == "cpu" else value),
            "cpu",
        ),
        "the gradient mode": _Setting(torch.is_grad_enabled, torch.set_grad_enabled, True),
        "threads": _Setting(torch.get_num_threads, torch.set_num_threads, None),
        "deterministic algorithms": _Setting(
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            write_deterministic,
            (True, True),
        ),
        # optbench never reads uninitialized memory, so filling it would only cost time.
        "the filling of memory": attribute(memory, "fill_uninitialized_memory", False),
        "cuDNN": attribute(cudnn, "enabled", True),
        "the benchmark of cuDNN": attribute(cudnn, "benchmark", False),
        "oneDNN": attribute(mkldnn, "enabled", True),
        "the precision of float32 (TF32)": _Setting(
            read_precision, write_precision, ("highest", "ieee", *("ieee" for _ in _PRECISIONS))
        ),
        "attention kernels": _Setting(
            lambda: (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()),
            write_attention,
            (True, True, True),
        ),
        "autocast": _Setting(
            lambda: (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
            write_autocast,
            (False, False),
        ),
        "anomaly detection": _Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
        # Torch has no function that reads this setting.
        "denormal numbers": _Setting(
            lambda: operator.ne(float(torch.tensor(1e-40, dtype=torch.float32, device="cpu") * 1), 0.0),
            lambda kept: torch.set_flush_denormal(not kept),
            True,
        ),
    }


def _full(precision: str) -> str:
    return "ieee" if precision == "none" else precision
