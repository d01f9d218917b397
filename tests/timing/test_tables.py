"""All tables of large results: how long they take, and that memory grows no faster than the results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from optbench.tables import all_tables
from tests.support.large import large

#: What 100,000 runs and 10 million points may take on one core.
SECONDS, GIBIBYTES = 60.0, 2.0


def test_all_tables(benchmark: BenchmarkFixture) -> None:
    results = large(problems=1, seeds=5)
    benchmark.extra_info["runs"] = len(results.runs)
    tables = benchmark.pedantic(all_tables, args=(results,), rounds=1)
    assert len(tables["time_to_target"]) == len(results.runs) == 1000
    assert tables["performance_profile"]["area"].notna().all()


def _measured(problems: int) -> tuple[float, float]:
    """Seconds and peak memory in GiB of all tables, in a process of its own on one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.large", "--problems", str(problems)],
        cwd=Path(__file__).parents[2], env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    print(done.stdout)
    _, seconds, _, memory, _ = done.stdout.splitlines()[-1].split()
    return float(seconds), float(memory)


@pytest.mark.slow
def test_a_hundred_thousand_runs_and_ten_million_points() -> None:
    few_seconds, few_memory = _measured(5)
    seconds, memory = _measured(20)
    assert seconds <= SECONDS
    assert memory <= GIBIBYTES
    # Four times the results: no more than four times the memory, up to what Python and its libraries take.
    assert memory <= 4 * few_memory
    assert seconds <= 4 * few_seconds * 1.5
