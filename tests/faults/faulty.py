"""An optimizer that does what the environment variable OPTBENCH_TEST_FAULT says, in a worker process only.

Without it, or in the process that plans, it is plain gradient descent: so an undisturbed run has the same cells.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

FAULT = os.environ.get("OPTBENCH_TEST_FAULT") if multiprocessing.parent_process() else None

if FAULT == "import":
    os._exit(7)


class Faulty(torch.optim.SGD):
    """Hangs, or takes more memory than there is, in its fifth step."""

    def __init__(self, params: Iterable[Any], lr: float = 0.01) -> None:
        super().__init__(params, lr=lr)
        self._steps = 0

    def step(self, closure: Any = None) -> Any:
        self._steps += 1
        if self._steps == 5 and FAULT == "hang":
            time.sleep(3600)
        if self._steps == 5 and FAULT == "memory":
            import resource

            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, resource.RLIM_INFINITY))
            try:
                torch.ones(2**27)  # 512 MiB
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return super().step(closure)
