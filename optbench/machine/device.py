"""Devices by name, and the settings under which the same seed gives the same bits."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from optbench.errors import UserError, unknown

#: On Linux an accelerator has one of these; where none is there, torch need not be imported to ask.
_ACCELERATOR_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/dri/renderD128")


def resolve(name: str, elsewhere: bool = False) -> str:
    """A device that torch knows here: `auto` is the accelerator where there is one, else `cpu`.

    Raises UserError for a device that this machine doesn't have. Of other machines (`elsewhere`), each of whose
    workers has one device of its own, it isn't known; there a number has no meaning, and raises UserError.
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
        raise UserError(f"device {name!r} is not on this machine (accepted here: {', '.join(_present())})")
    return name


def make_deterministic(threads: int) -> None:
    """Sets threads, and deterministic arithmetic without TF32, for the whole process."""
    # cuBLAS reads this once, when its first handle is created.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory before writing it; filling it first would only cost time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def seed_torch(number: int, device: str) -> None:
    """Seeds the global generators from which models on this device draw: the CPU's, and an accelerator's.

    `torch.manual_seed` seeds those of all kinds of devices. Where one is not in use it notes the call with its whole
    stack instead, which takes 0.3 ms, longer than a small step.
    """
    import torch

    torch.default_generator.manual_seed(number)
    if device != "cpu":
        torch.manual_seed(number)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def synchronize(device: str) -> None:
    """Waits for what was queued on an accelerator, before a clock is read."""
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


def _present() -> list[str]:
    return ["auto", "cpu", *(name for name in ("cuda", "mps", "xpu") if _exists(name))]
