"""What the harness costs against a bare torch loop, and what a whole machine gains over the lecture's loop.

Ratios of pairs measured next to each other; `python -m optbench bench --data-dir DIR` prints them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from optbench.bench import executions
from optbench.bench.comparison import Comparison
from optbench.bench.loading import batch_against_loop
from optbench.bench.throughput import (
    conv_net_cell,
    machine_against_lecture,
    run_against_bare,
)
from optbench.device import make_deterministic
from optbench.locations import default_data_dir
from optbench.problem import DataSource

REAL = os.environ.get("OPTBENCH_TEST_DATA")
SOURCE = DataSource(Path(REAL) if REAL else default_data_dir(), download=False)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    make_deterministic(1)


def test_a_batch_product_beats_a_loop() -> None:
    assert batch_against_loop(pairs=3, examples=300).ratio > 1


def test_many_small_replicas_at_once_beat_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        executions, "STACKED", (("quadratic_valley", "adam", 10, 16), ("mlp[data=mnist]", "sgd", 10, 8))
    )
    monkeypatch.setattr(executions, "_SECONDS", 0.02)
    (found,) = executions.replicas_against_eager(SOURCE, 3, real=False)
    assert found.ratio > 3, found.row()


def test_compiling_is_paid_by_what_each_step_gains() -> None:
    """Three seconds at 2 µs a step."""
    eager, compiled = np.array([10.0, 12.0]), np.array([9.0, 9.0])
    row = executions.Compiled(Comparison("", "µs", eager, compiled), 3.0, 1200).row()
    assert row[-3:] == ("3.0", "1,500,000", "1,200")
    row = executions.Compiled(Comparison("", "µs", compiled, eager), 3.0, 1200).row()
    assert row[-3:] == ("3.0", "never", "1,200")


@pytest.mark.skipif(not REAL, reason="OPTBENCH_TEST_DATA does not say where the real MNIST lies")
def test_the_harness_costs_less_than_a_tenth() -> None:
    found = run_against_bare(conv_net_cell(SOURCE.directory, 100), SOURCE, examples=6000, pairs=5)
    assert found.ratio >= 0.9, found.row()


@pytest.mark.skipif(not REAL, reason="OPTBENCH_TEST_DATA does not say where the real MNIST lies")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_both_cores_beat_the_lectures_loop_twice() -> None:
    cell = conv_net_cell(SOURCE.directory, 100)
    found = machine_against_lecture(cell, SOURCE, examples=6000, pairs=3, workers=2)
    assert found.ratio >= 2.0, found.row()
