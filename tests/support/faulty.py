"""Optimizers that hang or take too much memory, where OPTBENCH_TEST_FAULTS is set, in a worker process only.

Without it, or in the process that plans, they are plain gradient descent: so an undisturbed run has the same cells.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

#: Whether they are faulty in this process.
FAULTY = "OPTBENCH_TEST_FAULTS" in os.environ and multiprocessing.parent_process() is not None


class _Faulty(torch.optim.SGD):
    """Does something else in its fifth step."""

    def __init__(self, params: Iterable[Any], lr: float = 0.01) -> None:
        super().__init__(params, lr=lr)
        self._steps = 0

    def step(self, closure: Any = None) -> Any:
        self._steps += 1
        if self._steps == 5 and FAULTY:
            self._fail()
        return super().step(closure)

    def _fail(self) -> None:
        raise NotImplementedError


class Hanging(_Faulty):
    """Takes an hour."""

    def _fail(self) -> None:
        time.sleep(3600)


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
