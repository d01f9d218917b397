"""Available memory of the machine, of the container in which this process runs, and of a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Return the bytes that this process can allocate without swapping or being killed; None if unknown.

    Does not import torch.
    """
    limits = [*_machine_memory(), *_container_memory()]
    return max(min(limits), 0) if limits else None


def available_device_memory(device: str) -> int | None:
    """Return the bytes available on a device; None if unknown.

    On CUDA this is the free memory plus the memory that torch has reserved but does not use.
    """
    kind = device.partition(":")[0]
    if kind == "cpu":
        return available_memory()
    if kind != "cuda":
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _machine_memory() -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])


def _container_memory() -> Iterator[int]:
    """The memory left in each control group (version 1 or 2) of this process, including the enclosing groups.

    Page cache of inactive files counts as available, because the kernel reclaims it before it kills a process.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if not controllers:
            yield from _group_memory(_CGROUP, own, "memory.max", "memory.current", "inactive_file ")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
            yield from _group_memory(_CGROUP / "memory", own, *names)


def _group_memory(root: Path, own: str, limit: str, usage: str, unused: str) -> Iterator[int]:
    path = PurePosixPath(own)
    for group in (path, *path.parents):
        folder = root / str(group).lstrip("/")
        with suppress(OSError, ValueError):  # a group without a limit has no such file, or the file contains "max"
            maximum, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            stat = (folder / "memory.stat").read_text().splitlines()
            yield maximum - used + sum(int(line.split()[1]) for line in stat if line.startswith(unused))
