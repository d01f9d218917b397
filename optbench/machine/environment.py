"""Describes the environment of a run: hardware and software versions, on which results depend."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("optbench", "torch", "torchvision", "optuna", "numpy", "scikit-learn", "pandas")


def describe_environment(devices: Iterable[str] = ("cpu",)) -> dict[str, Any]:
    """Describe the machine and the software versions.

    Args:
        devices: Names of the devices in use, whose accelerators are included.

    Returns:
        A dictionary of plain JSON values. Its `key` is a short hash that is equal for equal environments.
    """
    description: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "packages": {name: _version(name) for name in PACKAGES},
        "accelerators": {name: _accelerator(name) for name in sorted(devices) if name != "cpu"},
    }
    key = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:8]
    return {"key": key, **description}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _accelerator(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
