"""A suite of three benchmarks that can be made slower from outside: what trials of false and missed alarms measure.

`OPTBENCH_TEST_SLOWER` set: a sleep of 30 % of the time, an extra copy of what is computed, a second backward pass.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

SLOWER = bool(os.environ.get("OPTBENCH_TEST_SLOWER"))


def test_sleep(benchmark: Any) -> None:
    """Two milliseconds of work, in which nothing but time passes, so that 30 % are 30 %."""

    def work() -> None:
        end = time.perf_counter() + 2e-3 * (1.3 if SLOWER else 1.0)
        while time.perf_counter() < end:
            pass

    benchmark.pedantic(work, rounds=15, warmup_rounds=2)


def test_copy(benchmark: Any) -> None:
    """One pass over 4 MB, or two."""
    values = np.random.default_rng(0).random(500_000)

    def work() -> np.ndarray:
        found = values.copy()
        return found.copy() if SLOWER else found

    benchmark.pedantic(work, rounds=15, warmup_rounds=3, iterations=5)


def test_backward(benchmark: Any) -> None:
    """A small network's gradient, computed once or twice."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(100, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    batch = torch.rand(100, 100)

    def work() -> None:
        loss = model(batch).square().mean()
        if SLOWER:
            loss.backward(retain_graph=True)
        loss.backward()

    benchmark.pedantic(work, rounds=15, warmup_rounds=3, iterations=5)
