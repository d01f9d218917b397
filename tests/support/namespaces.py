"""Machines, as far as one kernel can play several: namespaces with a network and mounts of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.cluster import Machine

#: A private network (RFC 2544 keeps 198.18.0.0/15 for tests).
_NETWORK = "198.18.77"


class Namespaces:
    """Network namespaces on one bridge: the outside has the address `.1`, each `machine` another one.

    Needs to be root, with `ip` and `unshare`.
    """

    def __init__(self) -> None:
        self._name = f"ob{os.getpid() % 100000}"
        self._made: list[str] = []

    @staticmethod
    def possible() -> bool:
        """Whether this process may make namespaces."""
        if not (shutil.which("ip") and shutil.which("unshare")):
            return False
        return subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True).returncode == 0

    def __enter__(self) -> Namespaces:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("addr", "add", f"{_NETWORK}.1/24", "dev", self._name)
        _ip("link", "set", self._name, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._made:
            _ip("netns", "del", name)
        _ip("link", "del", self._name)

    def machine(self, hidden: Path) -> Machine:
        """A new machine that doesn't see what lies in `hidden`."""
        number = len(self._made) + 2
        name, outer, inner = f"{self._name}-{number}", f"{self._name}o{number}", f"{self._name}i{number}"
        _ip("netns", "add", name)
        self._made.append(name)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", name)
        _ip("link", "set", outer, "master", self._name, "up")
        _ip("-n", name, "addr", "add", f"{_NETWORK}.{number}/24", "dev", inner)
        _ip("-n", name, "link", "set", inner, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        mount = f'mount -t tmpfs none "{hidden}" && exec "$@"'
        return Machine(f"{_NETWORK}.{number}", ("ip", "netns", "exec", name, "unshare", "-m", "sh", "-c", mount, "sh"))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
