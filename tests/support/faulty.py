"""Optimizers that hang or take too much memory, where OPTBENCH_TEST_FAULTS names them, in a worker process only.

Otherwise, and in the process that plans, they are plain gradient descent: so an undisturbed run has the same cells.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

#: Names of those that are faulty in this process.
FAULTY = os.environ.get("OPTBENCH_TEST_FAULTS", "").split() if multiprocessing.parent_process() is not None else []

#: The learning rate of all of them.
DEFAULT = 0.01


class _Faulty(torch.optim.SGD):
    """Does something else in its fifth step."""

    def __init__(self, params: Iterable[Any], lr: float = DEFAULT) -> None:
        super().__init__(params, lr=lr)
        self._steps = 0

    def step(self, closure: Any = None) -> Any:
        self._steps += 1
        if self._steps == 5 and type(self).__name__ in FAULTY:
            self._fail()
        return super().step(closure)

    def _fail(self) -> None:
        raise NotImplementedError


class Hanging(_Faulty):
    """Hangs in its second trial, as it is timed and tried first at its default rate: makes a file in the folder that
    OPTBENCH_TEST_HANGS names, and goes on when that is gone.
    """

    def _fail(self) -> None:
        if self.param_groups[0]["lr"] == DEFAULT:
            return
        hangs = Path(os.environ["OPTBENCH_TEST_HANGS"]) / f"hangs-{os.getpid()}"
        hangs.touch()
        while hangs.exists():
            time.sleep(0.01)


class Hungry(_Faulty):
    """Takes more memory than there is."""

    def _fail(self) -> None:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, resource.RLIM_INFINITY))
        try:
            torch.ones(2**27)  # 512 MiB
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
