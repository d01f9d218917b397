"""An optimizer whose file ends the worker process that imports it, where OPTBENCH_TEST_FAULTS names it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from typing import Any

import torch

if "Dying" in os.environ.get("OPTBENCH_TEST_FAULTS", "").split() and multiprocessing.parent_process() is not None:
    os._exit(7)


class Dying(torch.optim.SGD):
    """Plain gradient descent."""

    def __init__(self, params: Iterable[Any], lr: float = 0.01) -> None:
        super().__init__(params, lr=lr)
