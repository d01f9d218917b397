"""Compares what two benchmarks computed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import optbench
from optbench.results.machines import TIMING_COLUMNS

#: Not part of what has to be equal: how fast it was, and on which machine.
MACHINE = {*TIMING_COLUMNS, "environment", "timed_in", "peak_memory_bytes"}


def assert_same_results(first: Path, second: Path) -> None:
    """The frames of two results directories are equal bit by bit, timing columns aside."""
    a, b = optbench.load(first), optbench.load(second)
    assert set(a.states().values()) == {"done"}
    assert set(b.states().values()) == {"done"}
    for name in ("runs", "trials", "curves", "trajectories", "cells"):
        left, right = (getattr(r, name) for r in (a, b))
        assert len(left) > 0 or name == "trajectories", name
        kept = [column for column in left.columns if column not in MACHINE]
        pd.testing.assert_frame_equal(left[kept], right[kept], check_exact=True)
