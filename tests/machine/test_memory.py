"""Memory that is left, read from a made-up /proc and /sys/fs/cgroup, and from the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench.machine import memory
from optbench.machine.memory import available_device_memory, available_memory
from optbench.training.shared_data import SharedMemory

MIB = 2**20


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of which 8,000 MiB are available, in no container."""
    for name, folder in (("_PROC", "proc"), ("_CGROUP", "cgroup")):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(memory, name, tmp_path / folder)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemFree: 1 kB\nMemAvailable: 8192000 kB\n")
    return tmp_path


def group(system: Path, path: str, limit: str, used: int, unused: int = 0) -> None:
    folder = system / "cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used * MIB}\n")
    (folder / "memory.stat").write_text(f"anon 1\nactive_file 7\ninactive_file {unused * MIB}\nslab 3\n")


def inside(system: Path, *lines: str) -> None:
    (system / "proc/self").mkdir(exist_ok=True)
    (system / "proc/self/cgroup").write_text("\n".join(lines) + "\n")


def test_without_a_container_it_is_the_machines(system: Path) -> None:
    assert available_memory() == 8000 * MIB
    inside(system, "0::/user.slice")
    group(system, "user.slice", "max", 3000)
    assert available_memory() == 8000 * MIB


def test_a_containers_limit_counts_less_what_it_uses(system: Path) -> None:
    """Of what it uses, files that nobody reads now are given back."""
    inside(system, "0::/")
    group(system, "", str(2000 * MIB), 1500)
    assert available_memory() == 500 * MIB
    group(system, "", str(2000 * MIB), 1500, unused=300)
    assert available_memory() == 800 * MIB
    group(system, "", str(2000 * MIB), 2001)
    assert available_memory() == 0


def test_the_tightest_of_nested_groups_decides(system: Path) -> None:
    inside(system, "0::/pod/box")
    group(system, "pod/box", str(4000 * MIB), 100)
    group(system, "pod", str(1000 * MIB), 400)
    assert available_memory() == 600 * MIB


def test_groups_of_the_first_version(system: Path) -> None:
    inside(system, "4:memory:/box", "1:cpu,cpuacct:/", "0::/")
    folder = system / "cgroup/memory/box"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(str(900 * MIB))
    (folder / "memory.usage_in_bytes").write_text(str(500 * MIB))
    (folder / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {100 * MIB}\n")
    assert available_memory() == 500 * MIB
    (folder / "memory.limit_in_bytes").write_text(str(2**63 - 4096))  # no limit
    assert available_memory() == 8000 * MIB


def test_where_the_system_says_nothing_nothing_is_known(system: Path) -> None:
    (system / "proc/meminfo").unlink()
    assert available_memory() is None
    assert available_device_memory("mps") is None


def test_shared_data_takes_half_of_what_the_container_has(system: Path) -> None:
    inside(system, "0::/")
    group(system, "", str(100 * MIB), 60)
    with SharedMemory() as shared:
        assert shared._room == 20 * MIB


def test_this_machine_has_some() -> None:
    found = available_memory()
    if not Path("/proc/meminfo").exists():
        pytest.skip("a system without /proc/meminfo")
    assert found is not None
    assert 0 < found < 2**50
    assert available_device_memory("cpu") is not None
