"""The comparisons that `python -m optbench bench` prints: both sides do the same work, and each ratio has its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optbench.machine.device import make_deterministic
from optbench.problem.data import DataSource
from optbench.timing.bench import executions
from optbench.timing.bench.comparison import Ratio
from optbench.timing.bench.loading import batch_against_loop
from optbench.timing.bench.throughput import conv_net_cell, run_against_bare

SOURCE = DataSource(Path("unused"), download=False)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    make_deterministic(1)


def measured(comparison: Ratio, pairs: int) -> None:
    """Both sides took time, as often as asked; how much is no matter of a test."""
    assert len(comparison.a) == len(comparison.b) == pairs
    assert (comparison.a > 0).all()
    assert (comparison.b > 0).all()
    assert comparison.row()[0] == comparison.name


def test_both_sides_are_measured_as_often_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(batch_against_loop(pairs=3, examples=300), 3)
    measured(run_against_bare(conv_net_cell(None, 100), SOURCE, examples=300, pairs=1), 1)
    monkeypatch.setattr(
        executions, "STACKED", (("quadratic_valley", "adam", 10, 16), ("mlp[data=mnist]", "sgd", 10, 8))
    )
    monkeypatch.setattr(executions, "_SECONDS", 0.02)
    (found,) = executions.compare_replicas(SOURCE, 3, real=False)
    measured(found, 3)


def test_a_ratio_is_the_median_of_pairs_and_has_a_target() -> None:
    found = Ratio("x / y", "s", np.array([2.0, 8.0, 9.0]), np.array([1.0, 2.0, 9.0]), target=1.5)
    assert found.ratio == 2
    assert found.met
    assert found.row() == ("x / y", "8", "2", "s", "2.000", "1.000 – 4.000", "3", "≥ 1.5")
    assert not Ratio("", "s", found.a, found.b, target=1.5, better="low").met


def test_compiling_is_paid_by_what_each_step_gains() -> None:
    """Three seconds at 2 µs a step."""
    eager, compiled = np.array([10.0, 12.0]), np.array([9.0, 9.0])
    row = executions.Compiled(Ratio("", "µs", eager, compiled), 3.0, 1200).row()
    assert row[-3:] == ("3.0", "1,500,000", "1,200")
    row = executions.Compiled(Ratio("", "µs", compiled, eager), 3.0, 1200).row()
    assert row[-3:] == ("3.0", "never", "1,200")
