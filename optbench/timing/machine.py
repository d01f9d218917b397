"""The conditions on which times depend besides the code: machine, threads and versions. Does not import torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.machine.environment import describe_environment

#: The facts that have to be equal for times to be compared.
DECISIVE = ("cpu", "cores", "torch", "python", "threads", "accelerators")


def machine() -> dict[str, Any]:
    """Facts about this process and its machine. Threads and accelerators are those of torch, if it is loaded."""
    import optbench

    environment = describe_environment()
    torch = sys.modules.get("torch")
    accelerators = []
    if torch is not None and torch.cuda.is_initialized():
        accelerators = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "cpu": environment["processor"],
        "cores": environment["cores"],
        "python": environment["python"],
        "torch": environment["packages"]["torch"],
        "threads": torch.get_num_threads() if torch is not None else None,
        "accelerators": accelerators,
        "optbench": environment["packages"]["optbench"],
        "package": str(Path(optbench.__file__).parent),
    }


def differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[str]:
    """The decisive facts that differ between two machines, each as a text. What is unknown is not a difference."""
    known = [name for name in DECISIVE if name not in unknown_facts(base, head)]
    return [f"{name} {base[name]!s} and {head[name]!s}" for name in known if base[name] != head[name]]


def unknown_facts(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[str]:
    """The decisive facts that are unknown of one machine or of both: plain pytest-benchmark records only some."""
    return [name for name in DECISIVE if base.get(name) is None or head.get(name) is None]
