"""Resolves device names, and makes torch deterministic: the same seed gives the same bits."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.errors import UserError, unknown
from optbench.machine.settings import planned_settings, write_settings

if TYPE_CHECKING:
    from torch import Tensor

#: Device nodes of accelerators on Linux. If none exists, there is no accelerator, and torch need not be imported.
_ACCELERATOR_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/dri/renderD128")


def resolve_device(name: str, elsewhere: bool = False) -> str:
    """Resolve a device name to a torch device: `auto` becomes the accelerator if there is one, otherwise `cpu`.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`, …
        elsewhere: Whether the device belongs to workers on other machines. Their devices are unknown here, so the name
            is only checked for its form. Each such worker has one device, so a device number is not accepted.

    Raises:
        UserError: If the name is unknown or this machine does not have the device.
    """
    if elsewhere and name not in ("auto", "cpu"):
        if not re.fullmatch(r"cuda|mps|xpu|hpu|mtia", name):
            raise unknown("device of a scheduler's workers", name, ["cpu", "cuda", "mps", "xpu"])
        return name
    if name == "cpu" or (name == "auto" and not _may_have_accelerator()):
        return "cpu"
    if name == "auto":
        import torch

        return torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"  # type: ignore[union-attr]
    if not re.fullmatch(r"(cuda|mps|xpu|hpu|mtia)(:\d+)?", name):
        raise unknown("device", name, ["auto", "cpu", "cuda", "cuda:N", "mps", "xpu"])
    if not _exists(name):
        raise UserError(f"device {name!r} is not available on this machine (accepted: {', '.join(_available())})")
    return name


def make_deterministic(threads: int) -> None:
    """Configure torch for the whole process: CPU threads, deterministic algorithms, no TF32, and defaults for the rest.

    It is called before every training, since a user's code may have changed a setting.

    Args:
        threads: Number of CPU threads.
    """
    # cuBLAS reads this variable once, when its first handle is created.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    write_settings(planned_settings(threads))


def seed_torch(number: int, device: str) -> None:
    """Seed torch's global generators that models on this device use: the CPU's and, if needed, the accelerator's.

    `torch.manual_seed` seeds all kinds of devices. For a device that is not initialised it stores the call with its
    stack trace instead, which takes 0.3 ms, longer than a small step. So it is only called for an accelerator.
    """
    import torch

    torch.default_generator.manual_seed(number)
    if device != "cpu":
        torch.manual_seed(number)


def random_state(device: str) -> list[Tensor]:
    """Return the states of torch's global generators that models on this device use.

    Args:
        device: The device.
    """
    import torch

    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.startswith("cuda") else states


def set_random_state(states: Sequence[Tensor], device: str) -> None:
    """Restore what `random_state` returned; nothing, if there are no states.

    Args:
        states: The states.
        device: The device.
    """
    import torch

    if states:
        torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def synchronize(device: str) -> None:
    """Wait for the work queued on an accelerator, before a clock is read; does nothing on the CPU."""
    if device != "cpu":
        import torch

        torch.accelerator.synchronize(torch.device(device))


def _may_have_accelerator() -> bool:
    return sys.platform != "linux" or any(Path(node).exists() for node in _ACCELERATOR_NODES)


def _exists(name: str) -> bool:
    if not _may_have_accelerator():
        return False
    import torch

    device = torch.device(name)
    module = getattr(torch, device.type, None)
    if module is None or not module.is_available():
        return False
    return device.index is None or device.index < torch.accelerator.device_count()


def _available() -> list[str]:
    return ["auto", "cpu", *(name for name in ("cuda", "mps", "xpu") if _exists(name))]
