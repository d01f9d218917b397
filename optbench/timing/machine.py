"""What a time depends on besides the code: the machine, its threads and the versions; needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.machine.environment import describe

#: What has to be equal for times to be compared.
DECISIVE = ("cpu", "cores", "torch", "python", "threads", "accelerators")


def machine() -> dict[str, Any]:
    """Facts about this process and what it runs on. Threads and accelerators are torch's, where it is in use."""
    import optbench

    found = describe()
    torch = sys.modules.get("torch")
    accelerators = []
    if torch is not None and torch.cuda.is_initialized():
        accelerators = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "cpu": found["processor"],
        "cores": found["cores"],
        "python": found["python"],
        "torch": found["packages"]["torch"],
        "threads": torch.get_num_threads() if torch is not None else None,
        "accelerators": accelerators,
        "optbench": found["packages"]["optbench"],
        "package": str(Path(optbench.__file__).parent),
    }


def differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[str]:
    """What is decisive and not equal, each as a text; also what isn't known of one of the two."""
    return [
        f"{name} {base.get(name, 'unknown')!s} and {head.get(name, 'unknown')!s}"
        for name in DECISIVE
        if name not in base or name not in head or base[name] != head[name]
    ]
