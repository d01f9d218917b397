"""Memory that is left: of the machine, of the container that this process is in, of a device. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that this process can have without swapping or being killed; None where the system doesn't say."""
    found = [*_of_machine(), *_of_containers()]
    return max(min(found), 0) if found else None


def available_device_memory(device: str) -> int | None:
    """The same of a device: what is free on it, and what torch holds there without using it."""
    kind = device.partition(":")[0]
    if kind == "cpu":
        return available_memory()
    if kind != "cuda":
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _of_machine() -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])


def _of_containers() -> Iterator[int]:
    """What the limits of the control groups leave that this process is in, of version 2 or 1, the outer ones too.

    What they hold of files that nobody uses now is given back before anything is killed, and so not counted.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if not controllers:
            yield from _left(_CGROUP, own, "memory.max", "memory.current", "inactive_file ")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
            yield from _left(_CGROUP / "memory", own, *names)


def _left(root: Path, own: str, limit: str, usage: str, unused: str) -> Iterator[int]:
    path = PurePosixPath(own)
    for group in (path, *path.parents):
        folder = root / str(group).lstrip("/")
        with suppress(OSError, ValueError):  # a group without a limit has no such file, or says "max"
            most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            stat = (folder / "memory.stat").read_text().splitlines()
            yield most - used + sum(int(line.split()[1]) for line in stat if line.startswith(unused))
