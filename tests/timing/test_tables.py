"""All tables of large results: what they take is measured, and their memory grows no faster than the results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from optbench.metrics.tables import all_tables
from tests.support.large import large

#: What the tables of 100,000 runs and 10 million points may take.
GIBIBYTES = 2.0


def test_all_tables(benchmark: BenchmarkFixture) -> None:
    results = large(problems=1, seeds=5)
    benchmark.extra_info["runs"] = len(results.runs)
    tables = benchmark.pedantic(all_tables, args=(results,), rounds=1)
    assert len(tables["time_to_target"]) == len(results.runs) == 1000
    assert tables["performance_profile"]["area"].notna().all()


def _memory(problems: int) -> float:
    """Peak memory in GiB of all tables, in a process of its own on one thread, which prints what each takes."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.large", "--problems", str(problems)],
        cwd=Path(__file__).parents[2], env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    print(done.stdout)
    return float(done.stdout.splitlines()[-1].split()[3])


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.timeout(1800)
def test_the_memory_of_a_hundred_thousand_runs_and_ten_million_points() -> None:
    few, many = _memory(5), _memory(20)
    assert many <= GIBIBYTES
    # Four times the results: no more than four times the memory, up to what Python and its libraries take.
    assert many <= 4 * few
