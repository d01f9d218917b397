"""An optimizer whose file ends the process that imports it, when those of `faulty` are faulty."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from typing import Any

import torch

if "OPTBENCH_TEST_FAULTS" in os.environ and multiprocessing.parent_process() is not None:
    os._exit(7)


class Dying(torch.optim.SGD):
    """Plain gradient descent."""

    def __init__(self, params: Iterable[Any], lr: float = 0.01) -> None:
        super().__init__(params, lr=lr)
